/** The network of the ramdisk, as the kernel command line says: a card or a bond of cards, and a VLAN above it. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Nic } from '../../conductor/api/agent-wire.ts'
import type { Clock } from '../../kit/clock.ts'
import { runOk, type Run } from '../../kit/run.ts'
import type { BondArgs, BootArgs } from './cmdline.ts'
import { readNics, readText } from './sysfs.ts'

export interface NetworkParts {
  readonly run: Run
  readonly clock: Clock
  readonly say: (line: string) => void
}

type NetworkArgs = Pick<BootArgs, 'mac' | 'ip' | 'gateway' | 'mtu' | 'bond' | 'vlan'>

const BOND = 'bond0'
const VLAN = /\.\d+$/
const IP_TIMEOUT_MS = 10_000
/** Carriers take their time: auto-negotiation, and spanning tree behind it. */
const LINK_TIMEOUT_MS = 120_000
/** How long a card of a bond may come later than the first one; a bond of the others is made then. */
const LATE_CARD_MS = 20_000
const LOOK_MS = 200

export async function bringUp(args: NetworkArgs, parts: NetworkParts): Promise<void> {
  const { run, say } = parts
  // An agent that is started again begins anew.
  for (const link of await madeLinks()) await run(['ip', 'link', 'delete', link], { timeoutMs: IP_TIMEOUT_MS })

  const endMs = parts.clock.now() + LINK_TIMEOUT_MS
  const cards = await findCards(args.bond?.members ?? [args.mac], parts, endMs)
  const base = args.bond ? await makeBond(args.bond, cards) : (cards[0] as Nic).name
  await waitForCarrier(base, parts, endMs)
  if (args.bond) say(`${base} (${args.bond.mode}) has ${cards.map(({ name }) => name).join(' and ')}`)

  if (args.mtu) await ip('link', 'set', base, 'mtu', args.mtu)
  const link = args.vlan === undefined ? base : await makeVlan(base, args.vlan)
  await ip('address', 'replace', args.ip, 'dev', link)
  if (args.gateway) await run(['ip', 'route', 'replace', 'default', 'via', args.gateway], { timeoutMs: IP_TIMEOUT_MS })
  say(`${link} is up with ${args.ip}`)
}

const ip = (...words: string[]) => runOk(['ip', ...words], { timeoutMs: IP_TIMEOUT_MS })

const madeLinks = async (): Promise<string[]> =>
  (await readdir('/sys/class/net')).filter((name) => name === BOND || VLAN.test(name)).sort()

/** The cards with these addresses, as soon as their drivers are there. All cards are switched on meanwhile. */
async function findCards(macs: readonly string[], { run, clock }: NetworkParts, endMs: number): Promise<Nic[]> {
  let firstAtMs: number | undefined
  for (;;) {
    const nics = await readNics()
    for (const { name } of nics) await run(['ip', 'link', 'set', name, 'up'], { timeoutMs: IP_TIMEOUT_MS })
    const cards = nics.filter(({ mac }) => macs.includes(mac))
    if (cards.length > 0) firstAtMs ??= clock.now()
    const isLate = firstAtMs !== undefined && clock.now() > firstAtMs + LATE_CARD_MS
    if (cards.length === macs.length || isLate) return cards
    if (clock.now() > endMs)
      throw new Error(
        `there is no driver for the card ${macs.join(' or ')}; cards: ${nics.map(({ mac }) => mac).join(', ') || 'none'}`,
      )
    await clock.sleep(LOOK_MS)
  }
}

async function makeBond({ mode, options, address }: BondArgs, cards: readonly Nic[]): Promise<string> {
  // Otherwise the module makes a bond of its own, with the usual options.
  await runOk(['modprobe', 'bonding', 'max_bonds=0'], { timeoutMs: IP_TIMEOUT_MS })
  const own = address === undefined ? [] : ['address', address]
  const words = options.flatMap((option) => option.split('='))
  await ip('link', 'add', 'name', BOND, ...own, 'type', 'bond', 'mode', mode, ...words)
  for (const { name } of cards) {
    // The driver takes no card that is on.
    await ip('link', 'set', name, 'down')
    await ip('link', 'set', name, 'master', BOND)
  }
  await ip('link', 'set', BOND, 'up')
  return BOND
}

async function makeVlan(base: string, vlan: string): Promise<string> {
  await runOk(['modprobe', '8021q'], { timeoutMs: IP_TIMEOUT_MS })
  const name = `${base}.${vlan}`
  await ip('link', 'add', 'link', base, 'name', name, 'type', 'vlan', 'id', vlan)
  await ip('link', 'set', name, 'up')
  return name
}

async function waitForCarrier(name: string, { clock }: NetworkParts, endMs: number): Promise<void> {
  while ((await readText(join('/sys/class/net', name, 'carrier'))) !== '1') {
    if (clock.now() > endMs) throw new Error(`${name} has no carrier`)
    await clock.sleep(LOOK_MS)
  }
}
