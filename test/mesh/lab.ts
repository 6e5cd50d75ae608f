/** A mesh for real on one machine: a namespace for each host and arbiter, three planes and a BMC network between them, real Consul, real ipmi_sim, real agents,
 *  instances that are processes. Faults are what the kernel does: links, nftables, signals. */
import { randomUUID } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { ensureConsul } from '../../kit/setup/consul.mjs'
import { until } from '../../kit/clock.ts'
import { launch, run, runOk } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'

const PLANES = ['management', 'storage', 'tenant'] as const
export type Plane = (typeof PLANES)[number]
const LINK: Record<Plane | 'bmc', string> = { management: 'm', storage: 's', tenant: 't', bmc: 'b' }
const NET: Record<Plane | 'bmc', string> = { management: '10.71.0', storage: '10.72.0', tenant: '10.73.0', bmc: '10.74.0' }
const MAIN = join(ROOT, 'dist/cli/main.js')

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
  /** Hosts whose agents write a tick and have a watchdog. */
  readonly storage?: boolean
  /** A working model of a hardware watchdog for each host: a FIFO whose reader cuts the power when it hears nothing. */
  readonly watchdogSeconds?: number
  /** Instances are domains of a libvirtd on each host, instead of processes. */
  readonly libvirt?: boolean
}

export class MeshLab {
  readonly prefix: string
  readonly dir: string
  readonly nodes: LabNode[]
  readonly consul = process.env.RACKWARD_CONSUL ?? ensureConsul()
  private readonly options: LabOptions

  private constructor(dir: string, options: LabOptions) {
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

  static async up(options: LabOptions): Promise<MeshLab> {
    const lab = new MeshLab(await mkdtemp(join(tmpdir(), 'rackward-mesh-')), options)
    await lab.make().catch(async (error: unknown) => {
      await lab.down()
      throw error
    })
    return lab
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

  /** Everything of the mesh ends; safe to call twice and after half a start. */
  async down(): Promise<void> {
    const namespaces = [`${this.prefix}-hub`, ...this.nodes.map(({ namespace }) => namespace)]
    for (let round = 0; round < 3; round += 1) for (const namespace of namespaces) await this.killAll(namespace)
    for (const namespace of namespaces) await run(['ip', 'netns', 'delete', namespace], { timeoutMs: 5_000 })
    await rm(this.dir, { recursive: true, force: true })
  }

  private async make(): Promise<void> {
    await runOk(['ip', 'netns', 'add', `${this.prefix}-hub`], { timeoutMs: 5_000 })
    for (const link of Object.values(LINK)) {
      await this.exec('hub', ['ip', 'link', 'add', `br${link}`, 'type', 'bridge', 'forward_delay', '0'])
      await this.exec('hub', ['ip', 'link', 'set', 'dev', `br${link}`, 'up'])
    }
    await this.exec('hub', ['ip', 'link', 'set', 'lo', 'up'])
    await this.exec('hub', ['ip', 'address', 'add', `${NET.bmc}.254/24`, 'dev', 'brb'])
    await this.exec('hub', ['ip', 'address', 'add', `${NET.management}.254/24`, 'dev', 'brm'])
    await writeFile(join(this.dir, 'htpasswd'), `op:${await bcrypt.hash('secret', 4)}\n`, { mode: 0o600 })
    await mkdir(join(this.dir, 'cloud/instances'), { recursive: true })
    await mkdir(join(this.dir, 'shared'))
    const hosts = this.nodes.filter(({ role }) => role === 'host')
    await writeFile(
      join(this.dir, 'bmcs.yaml'),
      hosts
        .map(({ name, number }) => `${name}: { ipmi_address: ${NET.bmc}.${number}, ipmi_username: admin, ipmi_password: secret, ipmi_cipher_suite: 3 }\n`)
        .join(''),
      { mode: 0o600 },
    )
    for (const node of this.nodes) await this.makeNode(node)
    await this.makeMesh()
  }

  private async makeNode(node: LabNode): Promise<void> {
    await mkdir(node.dir)
    await runOk(['ip', 'netns', 'add', node.namespace], { timeoutMs: 5_000 })
    await this.exec(node, ['ip', 'link', 'set', 'lo', 'up'])
    for (const plane of [...PLANES, ...(node.role === 'arbiter' ? (['bmc'] as const) : [])]) {
      const link = LINK[plane]
      await this.exec('hub', ['ip', 'link', 'add', `${link}${node.number}`, 'type', 'veth', 'peer', 'name', link, 'netns', node.namespace])
      await this.exec('hub', ['ip', 'link', 'set', 'dev', `${link}${node.number}`, 'up', 'master', `br${link}`])
      await this.exec(node, ['ip', 'address', 'add', `${NET[plane]}.${node.number}/24`, 'dev', link])
      await this.exec(node, ['ip', 'link', 'set', 'dev', link, 'up'])
    }
    await symlink(join(this.dir, 'shared'), join(node.dir, 'shared'))
    await writeFile(join(node.dir, 'power'), '1\n')
    await writeFile(join(node.dir, 'boot-id'), `${randomUUID()}\n`)
    await writeFile(
      join(node.dir, 'start.sh'),
      `#!/bin/sh\nexec setsid ip netns exec ${node.namespace} ${process.execPath} ${MAIN} agent --config ${node.dir}/agent.yaml >>${node.dir}/agent.log 2>&1 </dev/null\n`,
      { mode: 0o755 },
    )
    if (node.role === 'host' && this.options.libvirt) await this.makeLibvirt(node)
    if (node.role === 'host') await this.makeBmc(node)
  }

  /** A libvirtd of its own, in the host's mount namespace; the agent starts beside it. */
  private async makeLibvirt(node: LabNode): Promise<void> {
    const at = join(node.dir, 'lv')
    for (const name of ['lib', 'run', 'etc', 'log', 'cache']) await mkdir(join(at, name), { recursive: true })
    await writeFile(join(at, 'etc/libvirtd.conf'), 'auth_unix_rw = "none"\nauth_unix_ro = "none"\nunix_sock_rw_perms = "0700"\n')
    await writeFile(
      join(at, 'etc/qemu.conf'),
      'stdio_handler = "file"\nsecurity_driver = "none"\nuser = "root"\ngroup = "root"\ncgroup_controllers = [ ]\nnamespaces = [ ]\n',
    )
    const binds = Object.entries({ lib: '/var/lib/libvirt', run: '/run/libvirt', etc: '/etc/libvirt', log: '/var/log/libvirt', cache: '/var/cache/libvirt' })
    const script = `#!/bin/sh
${binds.map(([name, path]) => `mkdir -p ${path}; mount --bind ${at}/${name} ${path}`).join('\n')}
rm -f /run/libvirt/*.pid ${node.dir}/libvirtd.pid
setsid libvirtd --pid-file ${node.dir}/libvirtd.pid >>${node.dir}/libvirtd.log 2>&1 </dev/null &
exec ${process.execPath} ${MAIN} agent --config ${node.dir}/agent.yaml
`
    await writeFile(join(node.dir, 'inside.sh'), script, { mode: 0o755 })
    await writeFile(
      join(node.dir, 'start.sh'),
      `#!/bin/sh\nexec setsid ip netns exec ${node.namespace} ${node.dir}/inside.sh >>${node.dir}/agent.log 2>&1 </dev/null\n`,
      { mode: 0o755 },
    )
  }

  libvirtUri = (host: string): string => `qemu+unix:///system?socket=${this.dir}/${host}/lv/run/libvirt-sock`
  virsh = (host: string, args: readonly string[]) => runOk(['virsh', '-q', '-c', this.libvirtUri(host), ...args], { timeoutMs: 30_000 })

  /** The chassis of a host: its power is whether anything may run in its namespace. Files tell it to misbehave. */
  private async makeBmc(node: LabNode): Promise<void> {
    const guid = Buffer.from(node.systemUuid.replaceAll('-', ''), 'hex').reverse().toString('hex')
    const lan = `name "${node.name}"
set_working_mc 0x20
  startlan 1
    addr ${NET.bmc}.${node.number} 623
    priv_limit admin
    allowed_auths_callback md5
    allowed_auths_user md5
    allowed_auths_operator md5
    allowed_auths_admin md5
    guid ${guid}
  endlan
  chassis_control "${node.dir}/chassis.sh"
  user 1 false "" "" user 1
  user 2 true "admin" "secret" admin 10
`
    const chassis = `#!/bin/sh
d=${node.dir}; op=$1; shift; echo "$op $*" >>$d/calls
off() { $d/links.sh down; echo 0 >$d/power; for i in 1 2 3; do for p in $(ip netns pids ${node.namespace}); do kill -KILL $p; done; done; }
case $op in
 reset) off;;
 get) while [ -n "$1" ]; do case $1 in
   power) if [ -e $d/bmc-lies ]; then echo power:0; elif [ -e $d/bmc-blip ]; then rm $d/bmc-blip; echo power:0; else echo power:$(cat $d/power); fi;;
   boot) echo boot:none;; *) exit 1;; esac; shift; done;;
 set) while [ -n "$1" ]; do case $1 in power) if [ ! -e $d/bmc-stuck ]; then if [ $2 = 0 ]; then off; else $d/on.sh; fi; fi;; esac; shift 2; done;;
esac
exit 0
`
    await writeFile(join(node.dir, 'lan.conf'), lan)
    await writeFile(
      join(node.dir, 'emu.cmd'),
      'mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nsel_enable 0x20 1000 0x0a\nmc_enable 0x20\n',
    )
    await writeFile(join(node.dir, 'chassis.sh'), chassis, { mode: 0o755 })
    // A boot: another identity, an empty /run, and the agent.
    await writeFile(
      join(node.dir, 'on.sh'),
      `#!/bin/sh\n[ "$(cat ${node.dir}/power)" = 1 ] && exit 0\n${node.dir}/links.sh up\necho 1 >${node.dir}/power\ncat /proc/sys/kernel/random/uuid >${node.dir}/boot-id\nrm -f ${node.dir}/gate\n${node.dir}/start.sh &\n`,
      { mode: 0o755 },
    )
    // A machine without power has no kernel that answers: its ports are down.
    const ports = PLANES.map((plane) => `ip netns exec ${this.prefix}-hub ip link set dev ${LINK[plane]}${node.number} $1`)
    ports.push(`[ $1 = up ] && ln -sfn ${this.dir}/shared ${node.dir}/shared`)
    await writeFile(join(node.dir, 'links.sh'), `#!/bin/sh\n${ports.join('\n')}\nexit 0\n`, { mode: 0o755 })
    if (this.options.watchdogSeconds) {
      await runOk(['mkfifo', join(node.dir, 'watchdog')], { timeoutMs: 5_000 })
      launch(this.inside('hub', ['setsid', process.execPath, join(ROOT, 'test/mesh/watchdog.mjs'), node.dir, String(this.options.watchdogSeconds)]))
    }
    await this.exec('hub', ['ip', 'address', 'add', `${NET.bmc}.${node.number}/24`, 'dev', 'brb'])
    await this.startBmc(node)
  }

  async startBmc(node: LabNode): Promise<void> {
    const sim = ['ipmi_sim', '-n', '-c', join(node.dir, 'lan.conf'), '-f', join(node.dir, 'emu.cmd'), '-s', join(node.dir, 'state')]
    await mkdir(join(node.dir, 'state'), { recursive: true })
    launch(this.inside('hub', ['setsid', 'sh', '-c', 'exec "$@" >"$0" 2>&1 </dev/null', join(node.dir, 'ipmi_sim.log'), ...sim]))
    const ask = this.inside('hub', [
      'ipmitool',
      '-I',
      'lanplus',
      '-H',
      `${NET.bmc}.${node.number}`,
      '-U',
      'admin',
      '-E',
      '-C',
      '3',
      '-N',
      '1',
      '-R',
      '2',
      'power',
      'status',
    ])
    await until(async () => (await run(ask, { timeoutMs: 8_000, env: { IPMI_PASSWORD: 'secret' } })).code === 0, {
      what: `the BMC of ${node.name}`,
      timeoutMs: 20_000,
      everyMs: 200,
    })
  }

  /** As a person would: init on the first arbiter, an invitation for each other, join. */
  private async makeMesh(): Promise<void> {
    const [first, ...others] = this.nodes as [LabNode, ...LabNode[]]
    const cli = (node: LabNode, args: readonly string[]) =>
      runOk(this.inside(node, [process.execPath, MAIN, 'mesh', ...args, '--consul', this.consul]), { timeoutMs: 30_000 })
    const at = (node: LabNode) => ['--directory', join(node.dir, 'consul')]
    for (const node of this.nodes) await this.configure(node)
    await cli(first, ['init', first.name, '--address', this.address(first, 'management'), ...at(first)])
    this.start(first)
    await until(
      async () =>
        (await run(this.inside(first, [process.execPath, MAIN, 'mesh', 'init', first.name, '--finish', ...at(first)]), { timeoutMs: 15_000 })).code === 0,
      {
        what: 'the first arbiter',
        timeoutMs: 40_000,
        everyMs: 500,
      },
    )
    for (const node of others) {
      const bundle = join(node.dir, 'bundle')
      await cli(first, ['invite', node.name, ...(node.role === 'arbiter' ? ['--arbiter'] : []), '--out', bundle, ...at(first)])
      await cli(node, ['join', bundle, '--address', this.address(node, 'management'), ...at(node)])
      this.start(node)
    }
    await until(async () => (await this.status().catch(() => undefined))?.hosts.length === this.hosts.length, {
      what: 'all hosts to be members',
      timeoutMs: 60_000,
      everyMs: 500,
    })
  }

  private async configure(node: LabNode): Promise<void> {
    const consul = join(node.dir, 'consul')
    const planes = Object.fromEntries(PLANES.map((plane) => [plane, { address: this.address(node, plane) }]))
    const cloud = [process.execPath, join(ROOT, 'test/mesh/cloud.mjs'), join(this.dir, 'cloud'), this.prefix]
    const guests = (act: string) => ['sh', join(this.dir, 'guests.sh'), node.namespace, act, node.name, ...cloud]
    const config = {
      name: node.name,
      role: node.role,
      data: join(node.dir, 'data'),
      rack: node.rack,
      planes,
      consul: { tokenFile: join(consul, 'token'), run: { binary: this.consul, configDirectory: join(consul, 'config') } },
      bootIdFile: join(node.dir, 'boot-id'),
      ...(node.role === 'host'
        ? {
            gate: { file: join(node.dir, 'gate') },
            systemUuid: node.systemUuid,
            guests: this.options.libvirt
              ? { kind: 'libvirt', uri: this.libvirtUri(node.name), directory: join(this.dir, 'shared'), shared: [join(this.dir, 'shared')] }
              : { kind: 'command', count: guests('count'), stop: guests('stop'), onOpen: guests('open') },
          }
        : {
            bmc: { directFile: join(this.dir, 'bmcs.yaml') },
            driver: this.options.libvirt
              ? { kind: 'libvirt', uri: this.libvirtUri('{host}'), directory: join(this.dir, 'shared') }
              : { kind: 'command', argv: cloud },
            api: {
              listen: [{ address: this.address(node, 'management'), port: 7461 }],
              url: `http://${this.address(node, 'management')}:7461`,
              auth: { strategy: 'http_basic', file: join(this.dir, 'htpasswd') },
            },
          }),
      ...(this.options.watchdogSeconds && node.role === 'host'
        ? { watchdog: { device: join(node.dir, 'watchdog'), timeoutSeconds: this.options.watchdogSeconds } }
        : {}),
      ...(this.options.storage ? { storage: { directory: join(node.dir, 'shared') } } : {}),
    }
    await writeFile(join(node.dir, 'agent.yaml'), JSON.stringify(config, null, 2))
    await writeFile(
      join(this.dir, 'guests.sh'),
      `ns=$1 act=$2 host=$3; shift 3
pids() { for p in $(ip netns pids $ns); do case "$(tr '\\0' ' ' </proc/$p/cmdline 2>/dev/null)" in guest:*) echo $p;; esac; done; }
case $act in count) pids | wc -l;; stop) for p in $(pids); do kill -KILL $p; done;; open) "$@" open $host;; esac
`,
    )
    await chmod(join(this.dir, 'guests.sh'), 0o755)
  }

  start(node: LabNode): void {
    launch([join(node.dir, 'start.sh')])
  }

  /** The API of an arbiter that answers. */
  async api(method: string, path: string, body?: unknown): Promise<any> {
    let last = ''
    for (const arbiter of this.arbiters) {
      const data = body === undefined ? [] : ['-H', 'content-type: application/json', '-d', JSON.stringify(body)]
      const { code, stdout } = await run(
        this.inside('hub', [
          'curl',
          '-s',
          '-m',
          '4',
          '-u',
          'op:secret',
          '-w',
          '\n%{http_code}',
          '-X',
          method,
          ...data,
          `http://${this.address(arbiter, 'management')}:7461${path}`,
        ]),
        { timeoutMs: 8_000 },
      )
      if (code !== 0) continue
      const at = stdout.lastIndexOf('\n')
      last = stdout
      if (stdout.slice(at + 1) === '200') return JSON.parse(stdout.slice(0, at))
      if (!stdout.slice(at + 1).startsWith('5')) break
    }
    throw new Error(`${method} ${path}: ${last.slice(0, 500) || 'no arbiter answers'}`)
  }

  /** As the leader sees it. */
  async status(): Promise<any> {
    const any = await this.api('GET', '/rackward/v1/mesh')
    if (any.leads || any.leader === null) return any
    const leader = this.node(any.leader)
    const { stdout } = await run(
      this.inside('hub', ['curl', '-s', '-m', '4', '-u', 'op:secret', `http://${this.address(leader, 'management')}:7461/rackward/v1/mesh`]),
      { timeoutMs: 8_000 },
    )
    return JSON.parse(stdout)
  }

  async leader(): Promise<LabNode> {
    const name = await until(async () => (await this.api('GET', '/rackward/v1/mesh').catch(() => undefined))?.leader as string | undefined, {
      what: 'a leader',
      timeoutMs: 60_000,
      everyMs: 300,
    })
    return this.node(name)
  }

  addInstance = (id: string, host: LabNode) =>
    runOk([process.execPath, join(ROOT, 'test/mesh/cloud.mjs'), join(this.dir, 'cloud'), this.prefix, 'add', id, host.name], { timeoutMs: 10_000 })

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
    return (await run(['ip', 'netns', 'pids', node.namespace], { timeoutMs: 5_000 })).stdout.split('\n').filter(Boolean).map(Number)
  }

  private async killAll(namespace: string): Promise<void> {
    for (const pid of (await run(['ip', 'netns', 'pids', namespace], { timeoutMs: 5_000 })).stdout.split('\n').filter(Boolean)) signal(Number(pid), 'SIGKILL')
  }

  async signal(node: LabNode, name: NodeJS.Signals, which: RegExp = /./): Promise<void> {
    for (const pid of await this.pids(node)) if (which.test(await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''))) signal(pid, name)
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

  async resume(node: LabNode): Promise<void> {
    await this.signal(node, 'SIGCONT')
    await this.planes(node, PLANES, 'up')
  }

  async planes(node: LabNode, planes: readonly Plane[], state: 'up' | 'down'): Promise<void> {
    for (const plane of planes) await this.exec('hub', ['ip', 'link', 'set', 'dev', `${LINK[plane]}${node.number}`, state])
    // What is behind the storage plane is gone with it.
    if (node.role === 'host' && planes.includes('storage'))
      await runOk(['ln', '-sfn', state === 'up' ? join(this.dir, 'shared') : join(this.dir, 'gone', 'away'), join(node.dir, 'shared')], { timeoutMs: 5_000 })
  }

  /** A person pulls the plug of a machine that hangs, and puts it back. */
  async powerCycle(node: LabNode): Promise<void> {
    await this.cutPower(node)
    await this.powerOn(node)
  }

  async signalBmc(node: LabNode, name: NodeJS.Signals): Promise<void> {
    for (const pid of (await run(['ip', 'netns', 'pids', `${this.prefix}-hub`], { timeoutMs: 5_000 })).stdout.split('\n').filter(Boolean))
      if ((await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(`ipmi_sim\0-n\0-c\0${join(node.dir, 'lan.conf')}`))
        signal(Number(pid), name)
  }

  inBackground = async (node: LabNode, argv: readonly string[]): Promise<void> => void launch(this.inside(node, ['setsid', ...argv]))
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
  nft = (node: LabNode, rules: string) => run(this.inside(node, ['nft', '-f', '-']), { timeoutMs: 5_000, input: rules })
  calls = async (node: LabNode) => (await readFile(join(node.dir, 'calls'), 'utf8').catch(() => '')).split('\n').filter(Boolean)
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
