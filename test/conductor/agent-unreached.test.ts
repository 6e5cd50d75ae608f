/** An agent that cannot talk to the agent port says so over boot HTTP, and explain names that: the conductor, its boot
 *  services and the agent are processes of their own in network namespaces, and the firewall between them is real. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { run, runOk } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'
import { Victim } from '../security/victim.ts'

const CONDUCTOR = `rw-unre-c${process.pid}`
const SERVER = `rw-unre-s${process.pid}`
/** The API is reached from here over a link of its own. */
const API_LINK = `rwunre${process.pid}`.slice(0, 15)
const API = `198.19.${process.pid % 250}`
const MAC = '02:00:00:00:00:01'
const IP = '10.99.0.50'
const SCRIPT = `/boot/${MAC.replaceAll(':', '-')}/script.ipxe`

const ip = (...argv: string[]) => runOk(['ip', ...argv], { timeoutMs: 10_000 })
const within = (namespace: string, ...argv: string[]) =>
  runOk(['ip', 'netns', 'exec', namespace, ...argv], { timeoutMs: 60_000 })
const fetched = (path: string) => within(SERVER, 'curl', '-sS', '--interface', IP, `http://10.99.0.1:8088${path}`)

let dir = ''
let victim: Victim | undefined
let uuid = ''
const agents: ChildProcess[] = []

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-unreached-'))
  await mkdir(join(dir, 'bin'))
  const ipmitool = `#!/bin/sh
case "$*" in
  *"power status") echo "Chassis Power is $(cat ${dir}/power 2>/dev/null || echo off)" ;;
  *"power on") echo on > ${dir}/power ;;
  *"power off") echo off > ${dir}/power ;;
  *"raw 0x00 0x09"*) echo "01 05 80 04 00 00 00" ;;
esac
`
  await writeFile(join(dir, 'bin/ipmitool'), ipmitool, { mode: 0o755 })
  for (const namespace of [CONDUCTOR, SERVER]) await ip('netns', 'add', namespace)
  await ip('-n', CONDUCTOR, 'link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'wire', 'netns', SERVER)
  await ip('link', 'add', API_LINK, 'type', 'veth', 'peer', 'name', 'api', 'netns', CONDUCTOR)
  await ip('addr', 'add', `${API}.2/24`, 'dev', API_LINK)
  await ip('-n', CONDUCTOR, 'addr', 'add', `${API}.1/24`, 'dev', 'api')
  await ip('-n', CONDUCTOR, 'addr', 'add', '10.99.0.1/24', 'brd', '+', 'dev', 'wire')
  await ip('-n', SERVER, 'link', 'set', 'wire', 'address', MAC)
  await ip('-n', SERVER, 'addr', 'add', `${IP}/24`, 'brd', '+', 'dev', 'wire')
  await ip('link', 'set', API_LINK, 'up')
  for (const [namespace, link] of [
    [CONDUCTOR, 'api'],
    [CONDUCTOR, 'wire'],
    [CONDUCTOR, 'lo'],
    [SERVER, 'wire'],
  ] as const)
    await ip('-n', namespace, 'link', 'set', link, 'up')
  victim = await Victim.start({
    namespace: CONDUCTOR,
    address: `${API}.1`,
    env: { PATH: `${dir}/bin:${process.env.PATH ?? ''}` },
    config: {
      bmc: { ipmiClient: 'ipmitool' },
      agent: { address: '10.99.0.1', port: 6386 },
      boot: {
        interfaces: [{ name: 'wire', address: '10.99.0.1' }],
        http: { address: '10.99.0.1', port: 8088 },
        tftp: '10.99.0.1',
        subnets: [{ cidr: '10.99.0.0/24', first: '10.99.0.100', last: '10.99.0.199', serverIp: '10.99.0.1' }],
        kernel: '/etc/hostname',
        initrd: '/etc/hostname',
      },
    },
  })
  const made = await victim.call('POST', '/v1/nodes', {
    driver: 'ipmi',
    // ipmipower cannot be told a blank, so that every command goes by ipmitool.
    driver_info: { ipmi_address: '127.0.9.1', ipmi_username: 'u', ipmi_password: 'p w' },
  })
  uuid = String(made.body.uuid)
  const port = { node_uuid: uuid, address: MAC, extra: { ipv4_address: IP } }
  expect((await victim.call('POST', '/v1/ports', port)).status).toBe(201)
  for (const [target, state] of [
    ['manage', 'manageable'],
    ['inspect', 'inspect wait'],
  ])
    await provision(String(target), String(state))
}, 120_000)

afterAll(async () => {
  for (const agent of agents) agent.kill('SIGKILL')
  await victim?.end()
  for (const namespace of [SERVER, CONDUCTOR]) {
    const pids = (await run(['ip', 'netns', 'pids', namespace], { timeoutMs: 10_000 })).stdout
      .split('\n')
      .filter(Boolean)
    for (const pid of pids) process.kill(Number(pid), 'SIGKILL')
    await run(['ip', 'netns', 'delete', namespace], { timeoutMs: 10_000 })
  }
  await run(['ip', 'link', 'delete', API_LINK], { timeoutMs: 10_000 })
  await victim?.remove()
  await rm(dir, { recursive: true, force: true })
})

const conductor = () => victim as Victim
async function provision(target: string, state: string): Promise<void> {
  expect((await conductor().call('PUT', `/v1/nodes/${uuid}/states/provision`, { target })).status).toBe(202)
  await until(async () => (await conductor().call('GET', `/v1/nodes/${uuid}`)).body.provision_state === state, {
    what: state,
    timeoutMs: 60_000,
  })
}

interface Explained {
  readonly seen: readonly { readonly what: string }[]
  readonly causes: readonly { readonly cause: string }[]
}
const explained = async () =>
  (await conductor().call('GET', `/rackward/v1/nodes/${uuid}/explain`)).body as unknown as Explained
const names = (cause: RegExp) =>
  until(async () => cause.test((await explained()).causes[0]?.cause ?? ''), { what: String(cause), timeoutMs: 60_000 })

/** As far as the ramdisk, and the agent in it, on a machine whose files are its own. */
async function bootAgent(change: (cmdline: string) => string = (same) => same): Promise<void> {
  await within(SERVER, process.execPath, join(ROOT, 'dist/test/security/wire-attacker.js'), 'boot', MAC, IP)
  const script = await fetched(SCRIPT)
  await fetched('/ramdisk/kernel')
  await fetched('/ramdisk/initrd')
  const cmdline = join(dir, `cmdline-${agents.length}`)
  await writeFile(cmdline, change(/^kernel \S+ (.*)$/m.exec(script)?.[1] ?? ''))
  const machine = [
    'mount -t tmpfs run /run',
    'mount -t tmpfs net /sys/class/net',
    'mkdir -p /sys/class/net/wire',
    'cd /sys/class/net/wire',
    `echo ${MAC} > address`,
    'echo 1 > carrier',
    'ln -s ../card device',
    `mount --bind ${cmdline} /proc/cmdline`,
    `exec ${process.execPath} ${join(ROOT, 'dist/agent.cjs')}`,
  ]
  const argv = ['netns', 'exec', SERVER, 'unshare', '--mount', 'sh', '-ec', machine.join('\n')]
  const agent = spawn('ip', argv, { stdio: ['ignore', 'inherit', 'inherit'] })
  agents.push(agent)
}
const endAgents = async () => {
  for (const agent of agents.splice(0)) {
    agent.kill('SIGKILL')
    if (agent.exitCode === null && agent.signalCode === null) await once(agent, 'exit')
  }
}

test('a blocked agent port, and a wrong certificate there, are named by what the agent says over boot HTTP, until it calls', async () => {
  await within(CONDUCTOR, 'nft', 'add table inet fault; add chain inet fault in { type filter hook input priority 0; }')
  await within(CONDUCTOR, 'nft', 'add rule inet fault in tcp dport 6386 drop')
  await bootAgent()
  await names(/the agent’s port is blocked/)
  expect((await explained()).seen.map(({ what }) => what)).toContain(
    'its agent says, over HTTP, that it does not reach the agent port',
  )
  await endAgents()
  await within(CONDUCTOR, 'nft', 'delete table inet fault')

  await bootAgent((cmdline) => cmdline.replace(/rackward\.pin=\w+/, `rackward.pin=${'0'.repeat(64)}`))
  await names(/the agent does not accept the certificate of the conductor/)
  await endAgents()

  await bootAgent()
  await until(async () => (await explained()).seen.some(({ what }) => what === 'the agent called'), {
    what: 'the call of the agent',
    timeoutMs: 60_000,
  })
  expect((await explained()).causes.map(({ cause }) => cause).join()).not.toMatch(/port|certificate/)
  await endAgents()
}, 180_000)
