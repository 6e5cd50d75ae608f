/** Runs inside the rack's namespace: tries to open an agent session with a token, and prints how the conductor
 *  answers. */
import { createHash, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ConductorLink } from '../../host-agent/deploy/conductor.ts'
import { systemClock } from '../../kit/clock.ts'
import { isFault } from '../../kit/fault.ts'

const [, , dir = '', token = ''] = process.argv
const pin = createHash('sha256')
  .update(new X509Certificate(await readFile(join(dir, 'data/agent.crt'))).raw)
  .digest('hex')
const link = new ConductorLink({ url: 'https://10.77.0.1:6386', pin, clock: systemClock })
const said = await link.open({ token, secret: 'x'.repeat(43), macs: [], bootMode: 'bios' }).then(
  () => 'it was accepted',
  (error: unknown) => (isFault(error) ? `${error.code}: ${error.detail}` : String(error)),
)
process.stdout.write(`${said}\n`)
process.exit(0)
