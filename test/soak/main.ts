/** `npm run soak -- --minutes N`: a conductor with fake nodes in whole lives, clients, every flood one after the other,
 *  `kill -9`, SIGSTOP and a full disk. Prints what it saw; its exit status is 1 when a node is stuck, memory or
 *  descriptors grew, an acknowledged write is gone, /healthz was slow or a fence was not carried out. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { fileURLToPath } from 'node:url'
import { enter, inside } from './ground.ts'
import { runPackets } from './packets/main.ts'
import { faultsOf, table } from './report.ts'
import { Soak } from './soak.ts'

const USAGE = `npm run soak -- [--minutes N] [--nodes N] [--clients N] [--flood TEXT] [--keep] [--json]

  --minutes  how long it runs in all (10)
  --nodes    fake nodes (1000)
  --clients  clients that read and write (50)
  --flood    only the floods whose names hold this text, and no kills
  --keep     leave configuration and log where they are, and print where
  --json     one JSON document on standard output

npm run soak -- packets [--help]: random and mutated packets for the decoders of the boot services instead
`

interface Args {
  readonly minutes: number
  readonly nodes: number
  readonly clients: number
  readonly flood: string | undefined
  readonly keep: boolean
  readonly json: boolean
}

function readArgs(argv: readonly string[]): Args {
  const options = {
    minutes: { type: 'string', default: '10' },
    nodes: { type: 'string', default: '1000' },
    clients: { type: 'string', default: '50' },
    flood: { type: 'string' },
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  } as const
  const { values } = parseArgs({ args: [...argv], options })
  if (values.help) {
    process.stdout.write(USAGE)
    process.exit(0)
  }
  const number = (name: 'minutes' | 'nodes' | 'clients', least: number) => {
    const value = Number(values[name])
    if (!Number.isFinite(value) || value < least)
      throw new Error(`--${name}: ${JSON.stringify(values[name])} is not a number of at least ${least}`)
    return value
  }
  return {
    minutes: number('minutes', 0.1),
    nodes: number('nodes', 10),
    clients: number('clients', 1),
    flood: values.flood,
    keep: values.keep,
    json: values.json,
  }
}

async function main(): Promise<number> {
  if (process.argv[2] === 'packets')
    return runPackets(process.argv.slice(3), (line) => void process.stdout.write(`${line}\n`))
  const args = readArgs(process.argv.slice(2))
  if (!inside()) return enter([fileURLToPath(import.meta.url), ...process.argv.slice(2)])
  const dir = await mkdtemp(join(tmpdir(), 'rackward-soak-'))
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  try {
    const soak = new Soak(dir, args, say)
    const seen = await soak.run()
    const faults = [...faultsOf(seen.phases, seen.use), ...seen.faults]
    if (args.json) process.stdout.write(`${JSON.stringify({ ...seen, faults })}\n`)
    else
      process.stdout.write(
        `${table(seen.phases)}\n\n${seen.lines.join('\n')}\n${faults.map((fault) => `WRONG  ${fault}`).join('\n') || 'nothing is wrong'}\n`,
      )
    return faults.length === 0 ? 0 : 1
  } finally {
    if (args.keep) say(`kept: ${dir}`)
    else await rm(dir, { recursive: true, force: true }).catch(() => undefined)
  }
}

// The namespaces end with this process, and with them every process in them.
process.exit(
  await main().catch((error: Error) => {
    process.stderr.write(`soak: ${error.stack ?? error.message}\n`)
    return 2
  }),
)
