/** The place to load the ramdisk of a server whose cards are a bundle: over real HTTP, with its address moving between
 *  the cards. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Admission } from '../../conductor/boot/admission.ts'
import { BootCounters } from '../../conductor/boot/counters.ts'
import { startHttp, type Doors } from '../../conductor/boot/doors.ts'
import { BootEvents } from '../../conductor/boot/events.ts'
import { Observer } from '../../conductor/boot/observe.ts'
import type { BootClient } from '../../conductor/boot/orders.ts'
import { Config } from '../../conductor/config.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { Lifecycle } from '../../kit/lifecycle.ts'
import { silentLog } from '../../kit/log.ts'
import { freePort } from '../kit/free-port.ts'
import { client as plainClient, noLoaders, numberedMac } from './boot-clients.ts'

const [first, second] = [numberedMac(1), numberedMac(2)]
const group = { uuid: 'bundle', bond: { mode: '802.3ad', members: [first, second], options: [], address: null } }
const order = { kind: 'ramdisk', generation: 1, rescue: false, token: false } as const

test('is free when the whole ramdisk went to the other card of its bundle', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-bundle-'))
  const life = new Lifecycle()
  try {
    const port = await freePort()
    for (const name of ['kernel', 'initrd']) await writeFile(join(dir, name), name)
    const config = Config.parse({
      data: dir,
      images: { store: dir },
      api: { auth: { strategy: 'noauth' } },
      agent: { address: '127.0.0.1', port: 6386 },
      boot: {
        interfaces: [],
        http: { address: '127.0.0.1', port },
        tftp: '127.0.0.1',
        subnets: [],
        kernel: join(dir, 'kernel'),
        initrd: join(dir, 'initrd'),
      },
    }) as Doors['config']
    const known = (mac: string): BootClient => ({ ...plainClient(mac), order, group })
    let holder = first
    const leases = { macOf: () => holder, holds: () => true } as unknown as Doors['leases']
    const clients = { get: known } as unknown as Doors['clients']
    const [counters, admission] = [new BootCounters(), new Admission(1)]
    const events = new BootEvents({ perSecond: 100, clock: systemClock, log: silentLog, emit: () => undefined })
    const observer = new Observer({ events, counters, leases, loaders: noLoaders, client: known })
    const parts = { config, pin: 'ab', tokenKey: Buffer.alloc(32), clock: systemClock, log: silentLog }
    await startHttp({ ...parts, life, clients, admission, leases, observer, counters } as unknown as Doors)

    const fetched = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).text()
    expect(await fetched(`/boot/${first.replaceAll(':', '-')}/script.ipxe`)).toContain('/ramdisk/initrd')
    expect(admission.size.loading).toBe(1)
    // The other card asks for the address while this one loads.
    holder = second
    expect(await fetched('/ramdisk/initrd')).toBe('initrd')
    await until(() => admission.size.loading === 0, { what: 'the place to be free', timeoutMs: 20_000 })
  } finally {
    await life.stop()
    await rm(dir, { recursive: true })
  }
}, 30_000)
