/** The lab's arguments. */
import { parseArgs } from 'node:util'
import type { BmcKind, Firmware } from './server.ts'

export interface LabArgs {
  readonly verb: (typeof VERBS)[number]
  /** Of rackward. */
  readonly words: readonly string[]
  /** Of kill. */
  readonly server: string | undefined
  readonly freeze: boolean
  /** The servers become a mesh, and two of them are killed. */
  readonly ha: boolean
  readonly nodes: number
  /** More than one share a PostgreSQL, and one of them is killed. */
  readonly conductors: number
  readonly firmware: Firmware | 'mix'
  readonly bmc: BmcKind | 'mixed'
  /** How the nodes come into the ramdisk: from the network, or from the boot ISO, without DHCP. */
  readonly boot: 'network' | 'media'
  /** All servers have UEFI with Secure Boot on. */
  readonly secureBoot: boolean
  /** All servers have a TPM, and prove their boots. */
  readonly tpm: boolean
  readonly json: boolean
  readonly keep: boolean
  readonly name: string
}

const MAX_NODES = 16
const MAX_CONDUCTORS = 5
const VERBS = ['run', 'status', 'kill', 'rackward', 'down', 'help'] as const
const isVerb = (word: string): word is (typeof VERBS)[number] => (VERBS as readonly string[]).includes(word)

export const USAGE = `npm run lab -- [run|status|kill|rackward|down] [--nodes N] [--firmware bios|uefi]
             [--bmc ipmi|redfish|mixed] [--boot network|media] [--secure-boot] [--tpm] [--ha]
             [--conductors N] [--json] [--keep] [--name NAME]

  run       take N blank virtual servers (3) from power-off to a booted Debian, and leave the rack running
  status    what runs now
  kill      with --ha: game day. "kill server-2" cuts its power behind its BMC's back, "--freeze" freezes it; prints
            what the mesh does about it
  rackward  the command line, as the administrator of the rack: npm run lab -- rackward node list,
            ... node console server-1, ... mesh status
  down      take everything away again
  --ha      three servers with agent and Consul in their image: they come into the mesh by themselves and run instances;
            one loses its power, one freezes
  --conductors  3, for example: PostgreSQL with a synchronous standby and so many conductors. The machine of the one that
            owns a server is cut off in the middle of the deploy; prints who took over, and when
  --bmc     the driver of the nodes: ipmi, redfish, or every second one redfish (mixed). The BMCs that speak Redfish
            speak IPMI as well
  --boot    media, with --bmc redfish: the servers boot the ramdisk from the boot ISO in a virtual drive of their BMC,
            and no DHCP server is on the wire
  --secure-boot  all servers have UEFI firmware with Microsoft's keys and Secure Boot on, from the first packet to the
            installed system
  --tpm     all servers have a TPM 2.0 (swtpm) and prove their boots by a quote; with --secure-boot they are given
            nothing secret before (driver_info/tpm: require)
  --json    one JSON document on standard output at the end, nothing else
  --keep    leave the rack as it is when something fails
  --name    mark of the rack (lab), for several side by side

npm run lab -- --simulate N [--deploy] ...: rackward simulate --nodes N, servers without machines
`

export function readArgs(all: readonly string[]): LabArgs {
  // What follows is the command line's own.
  const at = all.indexOf('rackward')
  const [argv, words] = at < 0 ? [all, []] : [all.slice(0, at + 1), all.slice(at + 1)]
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      nodes: { type: 'string' },
      conductors: { type: 'string' },
      firmware: { type: 'string' },
      bmc: { type: 'string' },
      boot: { type: 'string' },
      'secure-boot': { type: 'boolean' },
      tpm: { type: 'boolean' },
      ha: { type: 'boolean' },
      freeze: { type: 'boolean' },
      json: { type: 'boolean' },
      keep: { type: 'boolean' },
      name: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  const verb = values.help ? 'help' : (positionals[0] ?? 'run')
  if (!isVerb(verb)) throw new Error(`unknown word ${JSON.stringify(verb)}\n\n${USAGE}`)
  const nodes = Number(values.nodes ?? 3)
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > MAX_NODES)
    throw new Error(`--nodes: a number from 1 to ${MAX_NODES}`)
  if (values.ha && nodes !== 3) throw new Error('--ha: a rack of three servers, no --nodes')
  const conductors = Number(values.conductors ?? 1)
  if (!Number.isInteger(conductors) || conductors < 1 || conductors > MAX_CONDUCTORS)
    throw new Error(`--conductors: a number from 1 to ${MAX_CONDUCTORS}`)
  if (conductors > 1 && values.ha) throw new Error('--conductors: the rack of --ha has one conductor')
  if (verb === 'kill' && !positionals[1]) throw new Error('kill: name a server, such as server-2')
  const firmware = values.firmware ?? 'mix'
  if (firmware !== 'bios' && firmware !== 'uefi' && firmware !== 'mix') throw new Error('--firmware: bios or uefi')
  const bmc = values.bmc ?? 'ipmi'
  if (bmc !== 'ipmi' && bmc !== 'redfish' && bmc !== 'mixed') throw new Error('--bmc: ipmi, redfish or mixed')
  const boot = values.boot ?? 'network'
  if (boot !== 'network' && boot !== 'media') throw new Error('--boot: network or media')
  if (boot === 'media' && bmc !== 'redfish')
    throw new Error(`--boot media: IPMI has no virtual media; use it with --bmc redfish instead of --bmc ${bmc}`)
  if (boot === 'media' && values.ha) throw new Error('--boot media: the servers of --ha boot from the network')
  const secureBoot = values['secure-boot'] ?? false
  if (secureBoot && firmware === 'bios')
    throw new Error('--secure-boot: it is part of UEFI; use it without --firmware bios')
  if (conductors > 1 && boot === 'media') throw new Error('--conductors: its servers boot from the network')
  const name = values.name ?? 'lab'
  if (!/^[a-z0-9-]{1,20}$/.test(name)) throw new Error('--name: up to 20 lower-case letters, digits and dashes')
  return {
    verb,
    words,
    server: positionals[1],
    freeze: values.freeze ?? false,
    ha: values.ha ?? false,
    nodes,
    conductors,
    firmware,
    bmc,
    boot,
    secureBoot,
    tpm: values.tpm ?? false,
    json: values.json ?? false,
    keep: values.keep ?? false,
    name,
  }
}
