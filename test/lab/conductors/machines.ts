/** The conductors of `npm run lab -- --conductors N`, each on a machine of its own: a network namespace with one card
 *  on the rack's bridge. One of them has the address by which servers know them all; when it dies, another one gets it,
 *  as keepalived would do it. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemRandom } from '../../../kit/random.ts'
import { run } from '../../../kit/run.ts'
import { RackConductor, type ConductorOptions } from '../conductor.ts'
import { CONDUCTOR_IP, endProcess, type Rack } from '../rack.ts'
import { inNamespace, sh } from '../shell.ts'

/** Of the namespace that has the bridge and the BMCs, in place of the conductor's. */
export const BRIDGE_IP = '10.77.0.254'
const BMC_NET = '10.77.255.0/24'
const CARD = 'eth0'
const SECRET_BYTES = 32
/** Nothing of DHCP is heard where the address is not: one boot service answers. */
const STANDBY = `table inet standby {
  chain input { type filter hook input priority 0; udp dport 67 drop; }
}`

export interface Machine {
  readonly name: string
  readonly namespace: string
  readonly dir: string
  readonly conductor: RackConductor
}

export interface MachineParts {
  readonly rack: Rack
  readonly count: number
  readonly url: string
  readonly options: Omit<ConductorOptions, 'machine'>
}

export class Machines {
  readonly all: readonly Machine[]
  private holderName = ''

  private constructor(all: readonly Machine[]) {
    this.all = all
  }

  static async make({ rack, count, url, options }: MachineParts): Promise<Machines> {
    const secret = `${Buffer.from(systemRandom.bytes(SECRET_BYTES)).toString('hex')}\n`
    const all: Machine[] = []
    for (let number = 1; number <= count; number += 1) {
      const name = `conductor-${number}`
      const at = { name, namespace: `${rack.namespace}-c${number}`, dir: join(rack.dir, name) }
      await makeNamespace(rack, { ...at, number })
      await mkdir(join(at.dir, 'data'), { recursive: true, mode: 0o700 })
      await writeFile(join(at.dir, 'data/secret.key'), secret, { mode: 0o600 })
      const config = { hostname: name, store: { postgres: { url, tls: 'off', conductors: 'several', connections: 4 } } }
      const machine = { ...at, card: CARD, config }
      const conductor = await RackConductor.make(rack, { ...options, machine }, all[0]?.conductor.password)
      all.push({ ...at, conductor })
    }
    return new Machines(all)
  }

  async start(): Promise<void> {
    for (const machine of this.all) await machine.conductor.start()
    await this.give(this.all[0] as Machine)
  }

  get holder(): string {
    return this.holderName
  }

  named(name: string): Machine {
    const found = this.all.find((machine) => machine.name === name)
    if (!found) throw new Error(`no conductor has the name ${name}`)
    return found
  }

  /** As if its power were cut: every process ends at once, and its card is silent. The address moves when it was
   *  there. */
  async kill(name: string): Promise<void> {
    const dead = this.named(name)
    await sh(inNamespace(dead.namespace, ['ip', 'link', 'set', CARD, 'down']))
    const { stdout } = await run(['ip', 'netns', 'pids', dead.namespace], { timeoutMs: 10_000 })
    for (const pid of stdout.split('\n').filter(Boolean)) endProcess(Number(pid), 'SIGKILL')
    if (this.holderName !== name) return
    await sh(inNamespace(dead.namespace, ['ip', 'address', 'del', `${CONDUCTOR_IP}/24`, 'dev', CARD]))
    await this.standBy(dead)
    await this.give(this.all.find((machine) => machine.name !== name) as Machine)
  }

  async startAgain(name: string): Promise<void> {
    const machine = this.named(name)
    await sh(inNamespace(machine.namespace, ['ip', 'link', 'set', CARD, 'up']))
    // It went with the card.
    await sh(inNamespace(machine.namespace, ['ip', 'route', 'replace', BMC_NET, 'via', BRIDGE_IP]))
    await machine.conductor.start()
  }

  private async give({ name, namespace }: Machine): Promise<void> {
    await sh(inNamespace(namespace, ['ip', 'address', 'add', `${CONDUCTOR_IP}/24`, 'dev', CARD]))
    await sh(inNamespace(namespace, ['nft', 'delete', 'table', 'inet', 'standby']))
    // With arp_notify, the kernel tells the network of all addresses of a card that is given its hardware address.
    const mac = (await sh(inNamespace(namespace, ['cat', `/sys/class/net/${CARD}/address`]))).trim()
    await sh(inNamespace(namespace, ['ip', 'link', 'set', 'dev', CARD, 'address', mac]))
    this.holderName = name
  }

  private standBy = ({ namespace }: Pick<Machine, 'namespace'>): Promise<string> =>
    sh(inNamespace(namespace, ['sh', '-c', 'echo "$0" | nft -f -', STANDBY]))
}

async function makeNamespace(rack: Rack, at: { namespace: string; number: number }): Promise<void> {
  const { namespace, number } = at
  await sh(['ip', 'netns', 'add', namespace])
  await sh(rack.in(['ip', 'link', 'add', `c${number}`, 'type', 'veth', 'peer', 'name', CARD, 'netns', namespace]))
  await sh(rack.in(['ip', 'link', 'set', 'dev', `c${number}`, 'master', 'rack0', 'up']))
  const set = (key: string) => ['sh', '-c', `echo 1 > /proc/sys/net/ipv4/${key}`]
  for (const argv of [
    ['ip', 'link', 'set', 'lo', 'up'],
    ['ip', 'address', 'add', `10.77.0.${10 + number}/24`, 'dev', CARD],
    ['ip', 'link', 'set', 'dev', CARD, 'up'],
    ['ip', 'route', 'add', BMC_NET, 'via', BRIDGE_IP],
    // They listen where they will be asked once they have the address.
    set('ip_nonlocal_bind'),
    set('conf/all/arp_notify'),
  ])
    await sh(inNamespace(namespace, argv))
  await sh(inNamespace(namespace, ['sh', '-c', 'echo "$0" | nft -f -', STANDBY]))
}

/** Sockets of the API, for the door. */
export const socketsOf = (machines: readonly Machine[]): string[] => machines.map(({ dir }) => join(dir, 'api.sock'))
