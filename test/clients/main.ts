/** `npm run test:clients -- [ansible|bifrost|gophercloud|metalsmith|nova ...] [--only REGEX] [--bifrost DIR]
 *  [--metalsmith DIR] [--json]`: the automation that people have, against conductors of fake hardware that it starts.
 *  One line for each failure, and the totals; status 1 when something failed. Without a name all of them but nova,
 *  which builds a whole OpenStack first. */
import { parseArgs } from 'node:util'
import { systemClock } from '../../kit/clock.ts'
import { ansible } from './ansible.ts'
import { bifrost } from './bifrost.ts'
import { gophercloud } from './gophercloud.ts'
import { metalsmith } from './metalsmith.ts'
import { nova } from './nova.ts'
import { openGround, type Ground } from './ground.ts'
import { tell, type Check, type ClientReport } from './report.ts'

export interface Asked {
  readonly only: RegExp | undefined
  readonly bifrost: string | undefined
  readonly metalsmith: string | undefined
}

type Client = (
  ground: Ground,
  say: (line: string) => void,
  asked: Asked,
) => Promise<{ versions: string; checks: readonly Check[] }>

const CLIENTS: Readonly<Record<string, Client>> = { ansible, bifrost, gophercloud, metalsmith, nova }
const BY_DEFAULT = ['ansible', 'bifrost', 'gophercloud', 'metalsmith']

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    bifrost: { type: 'string' },
    metalsmith: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})

async function main(names: readonly string[]): Promise<number> {
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  const asked: Asked = {
    only: values.only === undefined ? undefined : new RegExp(values.only, 'u'),
    bifrost: values.bifrost,
    metalsmith: values.metalsmith,
  }
  const ground = await openGround()
  const ended = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => reject(new Error(`ended by ${signal}`)))
  })
  try {
    const reports: ClientReport[] = []
    for (const name of names) reports.push(await Promise.race([report(name, { ground, say, asked }), ended]))
    return tell(reports, { json: values.json, out: (text) => void process.stdout.write(text) })
  } finally {
    await ground.end()
  }
}

/** A client that breaks is a failed check, and the others still run. */
async function report(
  name: string,
  at: { ground: Ground; say: (line: string) => void; asked: Asked },
): Promise<ClientReport> {
  const startMs = systemClock.now()
  const done = (versions: string, checks: readonly Check[]) => ({
    client: name,
    versions,
    seconds: Math.round((systemClock.now() - startMs) / 1000),
    checks: checks.filter((check) => at.asked.only?.test(check.name) ?? true),
  })
  try {
    const { versions, checks } = await (CLIENTS[name] as Client)(at.ground, at.say, at.asked)
    return done(versions, checks)
  } catch (error) {
    at.say(await at.ground.log())
    return done('did not run', [{ name: 'run', result: 'failed', why: (error as Error).message }])
  }
}

const unknown = positionals.find((name) => !Object.hasOwn(CLIENTS, name))
if (unknown !== undefined) {
  process.stderr.write(`unknown client ${unknown}: use ${Object.keys(CLIENTS).join(', ')}\n`)
  process.exit(2)
}
process.exitCode = await main(positionals.length > 0 ? positionals : BY_DEFAULT)
