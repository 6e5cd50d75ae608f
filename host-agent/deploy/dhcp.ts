/** The address of a signed ramdisk, whose command line names none: asked of DHCP by udhcpc of busybox, on each card
 *  with a link in turn. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { Run } from '../../kit/run.ts'
import { readNics } from './sysfs.ts'

export interface DhcpAddress {
  readonly mac: string
  /** `10.0.0.20/24` */
  readonly ip: string
  readonly gateway: string | undefined
  readonly mtu: string | undefined
}

const SCRIPT_FILE = '/run/rackward-lease.sh'
const LEASE_FILE = '/run/rackward-lease'
const TIMEOUT_MS = 30_000
/** As for a command line that names the card. */
const LINK_TIMEOUT_MS = 120_000

/** udhcpc calls it with what the server said in its environment. */
const SCRIPT = `#!/bin/busybox sh
[ "$1" = bound ] && echo "$ip/$mask $router $mtu" >${LEASE_FILE}
exit 0
`

/** "10.0.0.20/24 10.0.0.1 10.0.0.2 1500": address, routers, MTU. */
export function parseLease(text: string): Omit<DhcpAddress, 'mac'> | undefined {
  const [ip = '', ...rest] = text.trim().split(/\s+/)
  if (!/^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/.test(ip)) return undefined
  return {
    ip,
    gateway: rest.find((word) => word.includes('.')),
    mtu: rest.find((word) => /^\d+$/.test(word)),
  }
}

export async function askDhcp({ run, clock }: { run: Run; clock: Clock }): Promise<DhcpAddress> {
  await writeFile(SCRIPT_FILE, SCRIPT, { mode: 0o700 })
  const endMs = clock.now() + LINK_TIMEOUT_MS
  for (;;) {
    const nics = await readNics()
    for (const nic of nics) await run(['ip', 'link', 'set', nic.name, 'up'], { timeoutMs: TIMEOUT_MS })
    for (const nic of nics.filter(({ hasCarrier }) => hasCarrier)) {
      await rm(LEASE_FILE, { force: true })
      const ask = ['busybox', 'udhcpc', '-i', nic.name, '-n', '-q', '-f', '-t', '4', '-T', '2', '-V', 'Rackward']
      await run([...ask, '-s', SCRIPT_FILE], { timeoutMs: TIMEOUT_MS }).catch(() => undefined)
      const lease = parseLease(await readFile(LEASE_FILE, 'utf8').catch(() => ''))
      if (lease) return { mac: nic.mac, ...lease }
    }
    if (clock.now() > endMs)
      throw new Fault(
        'agent.network',
        `no DHCP server gave an address to ${nics.map(({ mac }) => mac).join(', ') || 'any card'}`,
      )
    await clock.sleep(500)
  }
}
