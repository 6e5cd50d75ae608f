/** The Debian packages in a clean Debian with its own systemd: installed, started, hardened, restarted, removed. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { launch, run, runOk } from '../../kit/run.ts'
import { RACKWARD_MAIN, ROOT } from '../lab/root.ts'
import { CleanRoot } from './clean-root.ts'

let root: CleanRoot
let out: string
const say = (line: string) => void process.stderr.write(`${line}\n`)

beforeAll(async () => {
  out = await mkdtemp(join(tmpdir(), 'rackward-debs-'))
  await runOk([process.execPath, RACKWARD_MAIN, 'image', 'build', 'deb', '--out', out], { timeoutMs: 240_000 })
  root = await CleanRoot.boot(say)
  for (const name of await readdir(out)) if (name.endsWith('.deb')) await root.put(join(out, name), `var/tmp/${name}`)
}, 600_000)
afterAll(async () => {
  await root?.end()
  await rm(out, { recursive: true, force: true })
}, 60_000)

const active = (unit: string) =>
  until(async () => (await root.try(`systemctl is-active ${unit}`)).stdout.trim() === 'active', {
    what: `${unit} to run`,
    timeoutMs: 60_000,
    everyMs: 200,
  }).catch(async (error: Error) => {
    throw new Error(
      `${error.message}\n${(await root.try(`journalctl -u ${unit} -n 40 --no-pager; systemctl status ${unit}`)).stdout}`,
    )
  })
const mainPid = async (unit: string) => (await root.sh(`systemctl show -p MainPID --value ${unit}`)).trim()

test(
  'the conductor is installed, runs as its own user with three capabilities, and asks for a password',
  { timeout: 180_000 },
  async () => {
    await root.sh('dpkg -i /var/tmp/rackward-common_*.deb /var/tmp/rackward_*.deb')
    await active('rackward-conductor')
    const status = await root.sh(`cat /proc/${await mainPid('rackward-conductor')}/status`)
    expect(status).toMatch(new RegExp(`^Uid:\\s+${(await root.sh('id -u rackward')).trim()}\\s`, 'm'))
    // CAP_NET_BIND_SERVICE (10), CAP_NET_ADMIN (12), CAP_NET_RAW (13): linux/capability.h
    expect(/^CapEff:\s+(\S+)/m.exec(status)?.[1]).toBe('0000000000003400')
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m)
    expect((await root.try('curl -s -o /dev/null -w %{http_code} http://127.0.0.1:6385/v1/nodes')).stdout).toBe('401')
    expect(await root.sh('curl -s http://127.0.0.1:6385/readyz')).toContain('"ok"')
    expect(await root.sh('ls -l /etc/rackward')).toMatch(/-rw-r----- 1 root rackward .* htpasswd/)
    expect(await root.sh('ls -l /etc/rackward')).toMatch(/-rw------- 1 root root .* clouds.yaml/)
  },
)

test('root works with it at once, from the shell', { timeout: 60_000 }, async () => {
  await root.sh('rackward node enroll n1 --driver fake-hardware')
  expect(await root.sh('rackward node manage n1 --wait 30 && rackward node list')).toMatch(/n1 +manageable/)
  expect(
    await root.sh('bash -c "source /usr/share/bash-completion/completions/rackward && complete -p rackward"'),
  ).toContain('_rackward')
})

test('killed, it is back; stuck, the watchdog ends it; stopped, it ends cleanly', { timeout: 180_000 }, async () => {
  await root.sh(
    'mkdir -p /etc/systemd/system/rackward-conductor.service.d && printf "[Service]\\nWatchdogSec=4\\n" >/etc/systemd/system/rackward-conductor.service.d/w.conf',
  )
  await root.sh('systemctl daemon-reload && systemctl restart rackward-conductor')
  for (const signal of ['KILL', 'STOP']) {
    const before = await mainPid('rackward-conductor')
    await root.sh(`kill -${signal} ${before}`)
    await until(async () => !['0', before].includes(await mainPid('rackward-conductor')), {
      what: `a new process after ${signal}`,
      timeoutMs: 60_000,
      everyMs: 200,
    })
    await active('rackward-conductor')
  }
  expect(await root.sh('rackward node list')).toMatch(/n1 +manageable/)
  await root.sh('systemctl stop rackward-conductor')
  expect(await root.sh('systemctl show -p Result --value rackward-conductor')).toBe('success\n')
})

test('the agent waits for its configuration, then runs as its own user', { timeout: 120_000 }, async () => {
  await root.sh('dpkg -i /var/tmp/rackward-agent_*.deb')
  expect((await root.try('systemctl is-active rackward-agent')).stdout.trim()).toBe('inactive')
  await writeFile(
    join(root.dir, 'root/etc/rackward/agent.yaml'),
    'name: h1\nrole: host\nplanes: { management: { address: 127.0.0.1 } }\ngate: {}\nlog: { format: text }\n',
  )
  await root.sh('rackward agent --config /etc/rackward/agent.yaml --check-config')
  await root.sh('systemctl start rackward-agent')
  await active('rackward-agent')
  const status = await root.sh(`cat /proc/${await mainPid('rackward-agent')}/status`)
  expect(status).toMatch(new RegExp(`^Uid:\\s+${(await root.sh('id -u rackward-agent')).trim()}\\s`, 'm'))
  expect(await root.sh('journalctl -u rackward-agent --no-pager')).toMatch(
    /the agent runs name=h1|the agent runs.*role=host/,
  )
  expect(await root.sh('ls -ld /var/lib/rackward-agent')).toMatch(/^drwx------ .* rackward-agent/)
})

test('the gate holds what needs it until an arbiter lets the boot in', { timeout: 60_000 }, async () => {
  await root.sh(
    'printf "[Unit]\\nRequires=rackward-gate.service\\nAfter=rackward-gate.service\\n[Service]\\nExecStart=/bin/sleep infinity\\n" >/etc/systemd/system/guests.service',
  )
  await root.sh('systemctl daemon-reload && systemctl start --no-block guests')
  expect((await root.try('systemctl is-active rackward-gate guests')).stdout).toBe('activating\ninactive\n')
  await root.sh('cat /proc/sys/kernel/random/boot_id >/run/rackward/gate')
  await active('guests')
})

test('doctor finds what hurts here and says how to mend it', { timeout: 60_000 }, async () => {
  await root.sh('systemctl start rackward-conductor')
  await active('rackward-conductor')
  const { code, stdout } = await root.try('rackward doctor')
  expect(stdout).toMatch(/the local Consul does not answer/)
  expect(stdout).toMatch(/held by .* the conductor runs/)
  expect(stdout).toMatch(/-> apt-get install genisoimage/)
  expect(code).toBe(1)
})

test('removed and purged, nothing is left but what people wrote', { timeout: 120_000 }, async () => {
  // As rackward init makes them.
  await root.sh('touch /etc/rackward/api.crt /etc/rackward/api.key')
  await root.sh('dpkg -P rackward rackward-agent rackward-common')
  expect(
    (
      await root.try(
        'ls /var/lib/rackward /var/lib/rackward-agent /usr/lib/rackward /etc/rackward/htpasswd /etc/rackward/api.* 2>/dev/null',
      )
    ).stdout,
  ).toBe('')
  expect((await root.try('systemctl is-active rackward-conductor rackward-agent')).stdout).toBe('inactive\ninactive\n')
})

test('what npm packs installs with npm i -g, and runs', { timeout: 300_000 }, async () => {
  const prefix = join(out, 'prefix')
  const packed = (await runOk(['npm', 'pack', '--silent', '--pack-destination', out], { timeoutMs: 60_000, cwd: ROOT }))
    .trim()
    .split('\n')
    .at(-1) as string
  await runOk(['npm', 'i', '-g', '--silent', '--no-fund', '--no-audit', '--prefix', prefix, join(out, packed)], {
    timeoutMs: 240_000,
    cwd: out,
  })
  const rackward = join(prefix, 'bin/rackward')
  expect(await runOk([rackward, '--help'], { timeoutMs: 10_000 })).toContain('conductor')
  const { code, stderr } = await run([rackward, 'conductor', '--config', '/no/such/file'], { timeoutMs: 20_000 })
  expect([code, stderr]).toEqual([1, expect.stringMatching(/no\/such\/file/)])
  const log = join(out, 'npm.log')
  launch(['sh', '-c', `echo $$ >${out}/pid; exec ${rackward} conductor --dev --port 0 --data ${out}/data >${log} 2>&1`])
  await until(async () => /curl http\S+\/v1\/nodes/.test(await readFile(log, 'utf8').catch(() => '')), {
    what: 'the conductor',
    timeoutMs: 20_000,
  })
  process.kill(Number(await readFile(join(out, 'pid'), 'utf8')), 'SIGTERM')
})
