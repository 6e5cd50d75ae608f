/** The ground that a mesh stands on in tests: namespaces and links, what really runs in them, and the faults that the
 *  kernel can do to them. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { launch, run, runOk } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'

export const PLANES = ['management', 'storage', 'tenant'] as const
export type Plane = (typeof PLANES)[number]
export const LINK: Record<Plane | 'bmc', string> = { management: 'm', storage: 's', tenant: 't', bmc: 'b' }
export const NET: Record<Plane | 'bmc', string> = {
  management: '10.71.0',
  storage: '10.72.0',
  tenant: '10.73.0',
  bmc: '10.74.0',
}

export interface LabNode {
  readonly name: string
  readonly number: number
  readonly role: 'host' | 'arbiter'
  readonly rack: string
  readonly namespace: string
  readonly dir: string
  readonly systemUuid: string
}

export interface LabOptions {
  readonly hosts: number
  readonly arbiters: number
  readonly racks: number
  /** Hosts whose agents write a storage heartbeat and have a watchdog. */
  readonly storage?: boolean
  /** A working model of a hardware watchdog for each host: a FIFO whose reader cuts the power when it hears nothing. */
  readonly watchdogSeconds?: number
  /** Instances are domains of a libvirtd on each host, instead of processes. */
  readonly libvirt?: boolean
}

export class Ground {
  readonly prefix: string
  readonly dir: string
  readonly nodes: LabNode[]
  protected readonly options: LabOptions

  protected constructor(dir: string, options: LabOptions) {
    this.dir = dir
    this.options = options
    this.prefix = `rwm${process.pid.toString(36)}`
    const make = (role: 'host' | 'arbiter', i: number): LabNode => {
      const name = `${role === 'host' ? 'h' : 'a'}${i + 1}`
      const number = (role === 'host' ? 10 : 100) + i + 1
      return {
        name,
        number,
        role,
        rack: `r${(i % options.racks) + 1}`,
        namespace: `${this.prefix}-${name}`,
        dir: join(dir, name),
        systemUuid: `a1234567-89ab-cdef-a123-4567${number.toString(16).padStart(8, '0')}`,
      }
    }
    this.nodes = [
      ...Array.from({ length: options.arbiters }, (_, i) => make('arbiter', i)),
      ...Array.from({ length: options.hosts }, (_, i) => make('host', i)),
    ]
  }

  get hosts(): LabNode[] {
    return this.nodes.filter(({ role }) => role === 'host')
  }

  get arbiters(): LabNode[] {
    return this.nodes.filter(({ role }) => role === 'arbiter')
  }

  node(name: string): LabNode {
    return this.nodes.find((node) => node.name === name) as LabNode
  }
  address = (node: LabNode, plane: Plane): string => `${NET[plane]}.${node.number}`
  inside = (node: LabNode | 'hub', argv: readonly string[]): string[] => [
    'ip',
    'netns',
    'exec',
    node === 'hub' ? `${this.prefix}-hub` : node.namespace,
    ...argv,
  ]
  exec = (node: LabNode | 'hub', argv: readonly string[]) => runOk(this.inside(node, argv), { timeoutMs: 20_000 })

  /** Ground truth: the hosts on which a process of each instance exists. */
  async truth(): Promise<Map<string, string[]>> {
    const out = new Map<string, string[]>()
    for (const host of this.hosts)
      for (const pid of await this.pids(host)) {
        const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
        const id = (/^guest:([^\0]+)/.exec(command) ?? /qemu-system[^\0]*\0-name\0guest=([^,\0]+)/.exec(command))?.[1]
        if (id) out.set(id, [...(out.get(id) ?? []), host.name])
      }
    return out
  }

  async pids(node: LabNode): Promise<number[]> {
    return (await run(['ip', 'netns', 'pids', node.namespace], { timeoutMs: 30_000 })).stdout
      .split('\n')
      .filter(Boolean)
      .map(Number)
  }

  protected async killAll(namespace: string): Promise<void> {
    for (const pid of (await run(['ip', 'netns', 'pids', namespace], { timeoutMs: 30_000 })).stdout
      .split('\n')
      .filter(Boolean))
      signal(Number(pid), 'SIGKILL')
  }

  async signal(node: LabNode, name: NodeJS.Signals, which: RegExp = /./): Promise<void> {
    for (const pid of await this.pids(node))
      if (which.test(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''))) signal(pid, name)
  }

  /** The plug is pulled behind the BMC's back: everything in it is gone at once. */
  async cutPower(node: LabNode): Promise<void> {
    await this.planes(node, PLANES, 'down')
    await writeFile(join(node.dir, 'power'), '0\n')
    for (let round = 0; round < 2; round += 1) await this.killAll(node.namespace)
  }

  /** A machine that hangs: nothing runs in it, and its kernel answers nothing. */
  async hang(node: LabNode): Promise<void> {
    await this.planes(node, PLANES, 'down')
    await this.signal(node, 'SIGSTOP')
  }

  /** Hangs for that long and goes on: one program of the shell, so that a busy machine makes it hardly longer. */
  async pause(node: LabNode, seconds: number): Promise<void> {
    const pids = (await this.pids(node)).join(' ')
    const ports = (to: string) =>
      PLANES.map((plane) => `ip -n ${this.prefix}-hub link set dev ${LINK[plane]}${node.number} ${to}`).join('; ')
    await runOk(
      ['sh', '-c', `${ports('down')}; kill -STOP ${pids}; sleep ${seconds}; kill -CONT ${pids}; ${ports('up')}`],
      { timeoutMs: 20_000 },
    )
  }

  /** The main loop of its agent does nothing else for that long; answers how long it was, in ms. */
  async blockAgent(node: LabNode, ms: number): Promise<number> {
    for (const pid of await this.pids(node)) {
      if (!/main\.js\0agent/.test(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''))) continue
      const argv = [process.execPath, join(ROOT, 'test/mesh/block-loop.mjs'), String(pid), String(ms)]
      return Number(await runOk(this.inside(node, argv), { timeoutMs: ms + 20_000 }))
    }
    throw new Error(`${node.name} runs no agent`)
  }

  /** Nothing goes from it to these. */
  async part(node: LabNode, others: readonly LabNode[]): Promise<void> {
    const addresses = others.flatMap((other) => PLANES.map((plane) => this.address(other, plane)))
    await this.nft(
      node,
      `table inet fault { chain out { type filter hook output priority 0; ip daddr { ${addresses.join(', ')} } drop; }; }\n`,
    )
  }

  async resume(node: LabNode): Promise<void> {
    await this.signal(node, 'SIGCONT')
    await this.planes(node, PLANES, 'up')
  }

  async planes(node: LabNode, planes: readonly Plane[], state: 'up' | 'down'): Promise<void> {
    for (const plane of planes)
      await this.exec('hub', ['ip', 'link', 'set', 'dev', `${LINK[plane]}${node.number}`, state])
    // What is behind the storage plane is gone with it.
    if (node.role === 'host' && planes.includes('storage'))
      await runOk(
        [
          'ln',
          '-sfn',
          state === 'up' ? join(this.dir, 'shared') : join(this.dir, 'gone', 'away'),
          join(node.dir, 'shared'),
        ],
        { timeoutMs: 30_000 },
      )
  }

  /** A person pulls the plug of a machine that hangs, and puts it back. */
  async powerCycle(node: LabNode): Promise<void> {
    await this.cutPower(node)
    await this.powerOn(node)
  }

  async signalBmc(node: LabNode, name: NodeJS.Signals): Promise<void> {
    for (const pid of (await run(['ip', 'netns', 'pids', `${this.prefix}-hub`], { timeoutMs: 30_000 })).stdout
      .split('\n')
      .filter(Boolean))
      if (
        (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(
          `ipmi_sim\0-n\0-c\0${join(node.dir, 'lan.conf')}`,
        )
      )
        signal(Number(pid), name)
  }

  inBackground = async (node: LabNode, argv: readonly string[]): Promise<void> =>
    void launch(this.inside(node, ['setsid', ...argv]))
  log = (node: LabNode): Promise<string> => readFile(join(node.dir, 'agent.log'), 'utf8').catch(() => '')
  private readonly remembered = new Map<string, LabNode>()
  private readonly texts = new Map<string, string>()

  remember(key: string, node: LabNode): LabNode {
    this.remembered.set(key, node)
    return node
  }
  recall = (key: string): LabNode => this.remembered.get(key) as LabNode
  keep = (key: string, text: string): void => void this.texts.set(key, text)
  kept = (key: string): string => this.texts.get(key) ?? ''

  powerOn = async (node: LabNode): Promise<void> => void (await runOk([join(node.dir, 'on.sh')], { timeoutMs: 10_000 }))
  fault = (node: LabNode, name: string) => writeFile(join(node.dir, name), '')
  clear = (node: LabNode, name: string) => rm(join(node.dir, name), { force: true })
  nft = (node: LabNode, rules: string) =>
    runOk(this.inside(node, ['nft', '-f', '-']), { timeoutMs: 20_000, input: rules })

  calls = async (node: LabNode) =>
    (await readFile(join(node.dir, 'calls'), 'utf8').catch(() => '')).split('\n').filter(Boolean)
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
