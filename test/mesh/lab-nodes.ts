/** The nodes of a mesh for real: their namespaces and links, their BMCs, and the configuration and start of their
 *  agents. */
import { randomUUID } from 'node:crypto'
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureConsul } from '../../kit/setup/consul.mjs'
import { until } from '../../kit/clock.ts'
import { launch, run, runOk } from '../../kit/run.ts'
import { ipmiSimArgv, ipmitoolArgv } from '../fake/ipmi-sim.ts'
import { ROOT } from '../lab/root.ts'
import { Ground, LINK, NET, PLANES, type LabNode } from './lab-ground.ts'
import { makeChassis, makeLibvirt } from './lab-host.ts'

export const MAIN = join(ROOT, 'dist/bundle/main.js')

export class LabNodes extends Ground {
  readonly consul = process.env.RACKWARD_CONSUL ?? ensureConsul()

  protected async makeNode(node: LabNode): Promise<void> {
    await mkdir(node.dir)
    await runOk(['ip', 'netns', 'add', node.namespace], { timeoutMs: 30_000 })
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
      await runOk(['mkfifo', join(node.dir, 'watchdog')], { timeoutMs: 30_000 })
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
    const sim = ipmiSimArgv(node.dir)
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
    const address = `${NET.bmc}.${node.number}`
    const ask = this.inside('hub', ipmitoolArgv({ address, retries: 2 }, ['power', 'status']))
    await until(async () => (await run(ask, { timeoutMs: 30_000, env: { IPMI_PASSWORD: 'secret' } })).code === 0, {
      what: `the BMC of ${node.name}`,
      timeoutMs: 20_000,
      everyMs: 200,
    })
  }

  protected async configure(node: LabNode): Promise<void> {
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
}
