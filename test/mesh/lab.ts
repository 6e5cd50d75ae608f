/** A mesh for real on one machine: a namespace for each host and arbiter, three planes and a BMC network between them, real Consul, real ipmi_sim, real agents,
 *  instances that are processes. Faults are what the kernel does: links, nftables, signals. */
import { randomUUID } from 'node:crypto'
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { ensureConsul } from '../../kit/setup/consul.mjs'
import { until } from '../../kit/clock.ts'
import { launch, run, runOk } from '../../kit/run.ts'
import { RACKWARD_MAIN, ROOT } from '../lab/root.ts'
import { Ground, LINK, NET, PLANES, type LabNode, type LabOptions } from './lab-ground.ts'
import { makeChassis, makeLibvirt } from './lab-host.ts'

export type { LabNode, LabOptions } from './lab-ground.ts'

const MAIN = join(ROOT, 'dist/bundle/main.js')

export class MeshLab extends Ground {
  readonly consul = process.env.RACKWARD_CONSUL ?? ensureConsul()

  static async up(options: LabOptions): Promise<MeshLab> {
    const lab = new MeshLab(await mkdtemp(join(tmpdir(), 'rackward-mesh-')), options)
    await lab.make().catch(async (error: unknown) => {
      await lab.down()
      throw error
    })
    return lab
  }

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
        .map(
          ({ name, number }) =>
            `${name}: { ipmi_address: ${NET.bmc}.${number}, ipmi_username: admin, ipmi_password: secret, ipmi_cipher_suite: 3 }\n`,
        )
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
      await this.exec('hub', [
        'ip',
        'link',
        'add',
        `${link}${node.number}`,
        'type',
        'veth',
        'peer',
        'name',
        link,
        'netns',
        node.namespace,
      ])
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
    if (node.role === 'host' && this.options.libvirt) await makeLibvirt(node, MAIN)
    if (node.role === 'host') await this.makeBmc(node)
  }

  libvirtUri = (host: string): string => `qemu+unix:///system?socket=${this.dir}/${host}/lv/run/libvirt-sock`

  virsh = (host: string, args: readonly string[]) =>
    runOk(['virsh', '-q', '-c', this.libvirtUri(host), ...args], { timeoutMs: 30_000 })

  private async makeBmc(node: LabNode): Promise<void> {
    const ports = PLANES.map(
      (plane) => `ip netns exec ${this.prefix}-hub ip link set dev ${LINK[plane]}${node.number} $1`,
    )
    await makeChassis(node, { bmcAddress: `${NET.bmc}.${node.number}`, ports, shared: join(this.dir, 'shared') })
    if (this.options.watchdogSeconds) {
      await runOk(['mkfifo', join(node.dir, 'watchdog')], { timeoutMs: 5_000 })
      launch(
        this.inside('hub', [
          'setsid',
          process.execPath,
          join(ROOT, 'test/mesh/watchdog.mjs'),
          node.dir,
          String(this.options.watchdogSeconds),
        ]),
      )
    }
    await this.exec('hub', ['ip', 'address', 'add', `${NET.bmc}.${node.number}/24`, 'dev', 'brb'])
    await this.startBmc(node)
  }

  async startBmc(node: LabNode): Promise<void> {
    const sim = [
      'ipmi_sim',
      '-n',
      '-c',
      join(node.dir, 'lan.conf'),
      '-f',
      join(node.dir, 'emu.cmd'),
      '-s',
      join(node.dir, 'state'),
    ]
    await mkdir(join(node.dir, 'state'), { recursive: true })
    launch(
      this.inside('hub', [
        'setsid',
        'sh',
        '-c',
        'exec "$@" >"$0" 2>&1 </dev/null',
        join(node.dir, 'ipmi_sim.log'),
        ...sim,
      ]),
    )
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
      runOk(this.inside(node, [process.execPath, MAIN, 'mesh', ...args, '--consul', this.consul]), {
        timeoutMs: 30_000,
      })
    const at = (node: LabNode) => ['--directory', join(node.dir, 'consul')]
    for (const node of this.nodes) await this.configure(node)
    await cli(first, ['init', first.name, '--address', this.address(first, 'management'), ...at(first)])
    this.start(first)
    await until(
      async () =>
        (
          await run(
            this.inside(first, [process.execPath, MAIN, 'mesh', 'init', first.name, '--finish', ...at(first)]),
            { timeoutMs: 15_000 },
          )
        ).code === 0,
      {
        what: 'the first arbiter',
        timeoutMs: 40_000,
        everyMs: 500,
      },
    )
    for (const node of others) {
      const bundle = join(node.dir, 'bundle')
      await cli(first, [
        'invite',
        node.name,
        ...(node.role === 'arbiter' ? ['--arbiter'] : []),
        '--out',
        bundle,
        ...at(first),
      ])
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
      consul: {
        tokenFile: join(consul, 'token'),
        run: { binary: this.consul, configDirectory: join(consul, 'config') },
      },
      bootIdFile: join(node.dir, 'boot-id'),
      ...(node.role === 'host'
        ? {
            gate: { file: join(node.dir, 'gate') },
            systemUuid: node.systemUuid,
            guests: this.options.libvirt
              ? {
                  kind: 'libvirt',
                  uri: this.libvirtUri(node.name),
                  directory: join(this.dir, 'shared'),
                  shared: [join(this.dir, 'shared')],
                }
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

  /** `rackward ...` as an operator would. */
  async rackward(args: readonly string[], timeoutMs = 20_000): Promise<string> {
    const env = {
      RACKWARD_SERVER: `http://${this.address(this.arbiters[0] as LabNode, 'management')}:7461`,
      RACKWARD_USER: 'op',
      RACKWARD_PASSWORD: 'secret',
    }
    return runOk(this.inside('hub', [process.execPath, RACKWARD_MAIN, ...args]), { timeoutMs, env })
  }

  /** As the leader sees it. */
  async status(): Promise<any> {
    const any = await this.api('GET', '/rackward/v1/mesh')
    if (any.leads || any.leader === null) return any
    const leader = this.node(any.leader)
    const { stdout } = await run(
      this.inside('hub', [
        'curl',
        '-s',
        '-m',
        '4',
        '-u',
        'op:secret',
        `http://${this.address(leader, 'management')}:7461/rackward/v1/mesh`,
      ]),
      { timeoutMs: 8_000 },
    )
    return JSON.parse(stdout)
  }

  async leader(): Promise<LabNode> {
    const name = await until(
      async () => (await this.api('GET', '/rackward/v1/mesh').catch(() => undefined))?.leader as string | undefined,
      {
        what: 'a leader',
        timeoutMs: 60_000,
        everyMs: 300,
      },
    )
    return this.node(name)
  }

  addInstance = (id: string, host: LabNode) =>
    runOk(
      [process.execPath, join(ROOT, 'test/mesh/cloud.mjs'), join(this.dir, 'cloud'), this.prefix, 'add', id, host.name],
      { timeoutMs: 10_000 },
    )

  /** After a fault that went otherwise than it should: what follows must not suffer from it. */
  async repair(): Promise<void> {
    for (const arbiter of this.arbiters) {
      await this.signal(arbiter, 'SIGCONT')
      await this.planes(arbiter, PLANES, 'up')
      await this.nft(arbiter, 'flush ruleset\n')
    }
    await this.leader()
    await this.api('PUT', '/rackward/v1/mesh/policy', { armed: true, why: 'repaired after a failed test' })
    const states = (await this.status()).hosts as { name: string; state: string }[]
    for (const node of this.hosts) {
      await this.nft(node, 'flush ruleset\n')
      await this.signal(node, 'SIGCONT')
      await this.planes(node, PLANES, 'up')
      if (states.find(({ name }) => name === node.name)?.state !== 'healthy') await this.powerCycle(node)
    }
  }
}
