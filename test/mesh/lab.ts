/** A mesh for real on one machine: a namespace for each host and arbiter, three planes and a BMC network between them,
 *  real Consul, real ipmi_sim, real agents, instances that are processes. Faults are what the kernel does: links,
 *  nftables, signals. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { until } from '../../kit/clock.ts'
import { run, runOk } from '../../kit/run.ts'
import { RACKWARD_MAIN, ROOT } from '../lab/root.ts'
import { LINK, NET, PLANES, type LabNode, type LabOptions } from './lab-ground.ts'
import { LabNodes, MAIN } from './lab-nodes.ts'

export type { LabNode, LabOptions } from './lab-ground.ts'

export class MeshLab extends LabNodes {
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
    for (const namespace of namespaces) await run(['ip', 'netns', 'delete', namespace], { timeoutMs: 30_000 })
    await rm(this.dir, { recursive: true, force: true })
  }

  private async make(): Promise<void> {
    await runOk(['ip', 'netns', 'add', `${this.prefix}-hub`], { timeoutMs: 30_000 })
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

  /** The API of an arbiter that answers. */
  async api(method: string, path: string, body?: unknown): Promise<any> {
    let last = ''
    for (const arbiter of this.arbiters) {
      const answer = await this.ask(arbiter, { method, path, body })
      if (!answer) continue
      last = answer.text
      if (answer.status === '200') return JSON.parse(answer.text)
      if (!answer.status.startsWith('5')) break
    }
    throw new Error(`${method} ${path}: ${last.slice(0, 500) || 'no arbiter answers'}`)
  }

  /** Undefined: it does not answer. */
  private async ask(
    arbiter: LabNode,
    { method, path, body }: { method: string; path: string; body?: unknown },
  ): Promise<{ status: string; text: string } | undefined> {
    const url = `http://${this.address(arbiter, 'management')}:7461${path}`
    const data = body === undefined ? [] : ['-H', 'content-type: application/json', '-d', JSON.stringify(body)]
    const curl = ['curl', '-s', '-m', '4', '-u', 'op:secret', '-w', '\n%{http_code}', '-X', method, ...data, url]
    const { code, stdout } = await run(this.inside('hub', curl), { timeoutMs: 30_000 })
    if (code !== 0) return undefined
    const at = stdout.lastIndexOf('\n')
    return { status: stdout.slice(at + 1), text: stdout.slice(0, at) }
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
    const answer = await this.ask(this.node(any.leader), { method: 'GET', path: '/rackward/v1/mesh' })
    return JSON.parse(answer?.text ?? '')
  }

  /** What each arbiter that answers says of itself, without asking Consul. */
  async readiness(): Promise<Map<string, { leads: boolean; judged_rounds: number }>> {
    const asked = await Promise.all(
      this.arbiters.map(async (arbiter) => {
        const url = `http://${this.address(arbiter, 'management')}:7461/readyz`
        const { code, stdout } = await run(this.inside('hub', ['curl', '-s', '-m', '2', url]), { timeoutMs: 30_000 })
        return code === 0 ? ([[arbiter.name, JSON.parse(stdout)]] as const) : []
      }),
    )
    return new Map(asked.flat())
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
