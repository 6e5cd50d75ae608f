/** A real IPMI LAN server (ipmi_sim) on a loopback address of its own, whose chassis is a few files. */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launch, run } from '../../kit/run.ts'
import { until } from '../../kit/clock.ts'
import { ipmitoolArgv } from './ipmi-sim.ts'

export interface Sim {
  readonly address: string
  readonly dir: string
  calls(): Promise<string[]>
  /** Forgets the calls so far. */
  forget(): Promise<void>
  /** When it was called first and last since then, in milliseconds of the file system's clock; undefined: not yet. */
  called(): Promise<{ firstMs: number; lastMs: number } | undefined>
  /** Safe to call twice. */
  stop(): Promise<void>
}

/** `serial`: a TCP port on 127.0.0.1 that its serial console is joined to. */
export async function startSim(number: number, options: { serial?: number } = {}): Promise<Sim> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-bmc-'))
  const address = `127.${30 + (process.pid % 90)}.${Math.floor(process.pid / 256) % 256}.${number}`
  const lan = `name "sim"
set_working_mc 0x20
  startlan 1
    addr ${address} 623
    priv_limit admin
    allowed_auths_callback md5
    allowed_auths_user md5
    allowed_auths_operator md5
    allowed_auths_admin md5
    guid a123456789abcdefa123456789abc00${number % 10}
  endlan
  chassis_control "${dir}/chassis.sh"
${options.serial === undefined ? '' : `  sol "tcp:127.0.0.1:${options.serial}" 115200\n`}  user 1 false "" "" user 1
  user 2 true "admin" "secret" admin 10
`
  // stuck: the BMC takes power commands and does nothing.
  const chassis = `#!/bin/sh
d=${dir}; op=$1; shift; [ -e $d/first ] || : >$d/first; echo "$op $*" >>$d/calls
case $op in
 get) while [ -n "$1" ]; do case $1 in power) echo "power:$(cat $d/power)";; boot) echo "boot:$(cat $d/boot)";; *) exit 1;; esac; shift; done;;
 set) while [ -n "$1" ]; do case $1 in power) [ -e $d/stuck ] || echo $2 >$d/power;; boot) echo $2 >$d/boot;; esac; shift 2; done;;
esac
exit 0
`
  await writeFile(join(dir, 'lan.conf'), lan)
  await writeFile(
    join(dir, 'emu.cmd'),
    'mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nsel_enable 0x20 1000 0x0a\nsensor_add 0x20 0 1 0x01 0x01\nsensor_set_value 0x20 0 1 0x60 0\nmc_enable 0x20\n',
  )
  await writeFile(join(dir, 'chassis.sh'), chassis, { mode: 0o755 })
  await writeFile(join(dir, 'power'), '0\n')
  await writeFile(join(dir, 'boot'), 'none\n')
  await writeFile(join(dir, 'calls'), '')
  const pid = launch([
    'sh',
    '-c',
    'mkdir -p "$0/state"; exec ipmi_sim -n -c "$0/lan.conf" -f "$0/emu.cmd" -s "$0/state" >"$0/log" 2>&1 </dev/null',
    dir,
  ])
  const ask = ipmitoolArgv({ address }, ['power', 'status'])
  await until(async () => (await run(ask, { timeoutMs: 30_000, env: { IPMI_PASSWORD: 'secret' } })).code === 0, {
    what: 'ipmi_sim',
    timeoutMs: 60_000,
  })
  let stopped = false
  return {
    address,
    dir,
    calls: async () => (await readFile(join(dir, 'calls'), 'utf8')).split('\n').filter(Boolean),
    async forget() {
      await writeFile(join(dir, 'calls'), '')
      await rm(join(dir, 'first'), { force: true })
    },
    async called() {
      const [first, last] = await Promise.all(
        ['first', 'calls'].map((name) => stat(join(dir, name)).catch(() => undefined)),
      )
      return first && last && last.size > 0 ? { firstMs: first.mtimeMs, lastMs: last.mtimeMs } : undefined
    },
    async stop() {
      if (!stopped && pid) process.kill(pid, 'SIGKILL')
      stopped = true
      await rm(dir, { recursive: true, force: true })
    },
  }
}
