/** `rackward boot`: the boot services as a process of their own. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { agentIdentity } from '../conductor/agents/certificate.ts'
import { BootService } from '../conductor/boot/service.ts'
import { bootKey } from '../conductor/boot/token.ts'
import { warmUp } from '../conductor/boot/warm-up.ts'
import { loadConfig } from '../conductor/config.ts'
import { systemClock } from '../kit/clock.ts'
import { companion, rootReadsAll, withoutPrivileges } from '../kit/companion.ts'
import { Fault } from '../kit/fault.ts'
import { makeLog } from '../kit/log.ts'
import { systemRandom } from '../kit/random.ts'
import { quietSockopt } from './daemon.ts'

/** DHCP goes first where both want a processor: all threads of it, which a program cannot say of itself. */
const FILES_ARGV = [
  'nice',
  '-n',
  '10',
  process.execPath,
  fileURLToPath(new URL('./main.js', import.meta.url)),
  'boot-files',
]
/** Many files are read at once, some of them from slow disks. */
const FILES_ENV = { PATH: process.env['PATH'] ?? '', UV_THREADPOOL_SIZE: '8' }

export async function runBoot(path: string): Promise<void> {
  quietSockopt()
  const config = await loadConfig(path)
  const { boot, agent } = config
  if (!boot || !agent) throw new Fault('config.invalid', `${path}: boot and agent must both be there`)
  const log = makeLog('boot', config.log)
  const { pin } = await agentIdentity(config.data)
  const tokenKey = await bootKey(join(config.data, 'boot.key'), systemRandom)
  const isRoot = process.getuid?.() === 0
  if (isRoot && !rootReadsAll(await readFile('/proc/self/status', 'utf8')))
    log.warn(
      {},
      'the process that sends boot files may not read files of other users here (no CAP_DAC_READ_SEARCH): kernels, ' +
        'ramdisks and the image store must belong to root or be readable by all, or the container needs ' +
        '--cap-add DAC_READ_SEARCH; else nodes that ask for them get status 500',
    )
  const service = new BootService({
    config: { ...config, boot, agent },
    pin,
    tokenKey,
    clock: systemClock,
    log,
    launchFiles: (onMessage) => companion(withoutPrivileges(FILES_ARGV, isRoot), { env: FILES_ENV, onMessage }),
    onEnd: () => process.exit(0),
  })
  await warmUp(systemClock)
  await service.start()
  log.info({ http: boot.http, tftp: boot.tftp, interfaces: boot.interfaces }, 'the boot services are ready')
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => void service.stop().finally(() => process.exit(0)))
}
