/** A rack with one blank BIOS server (by IPMI) and one blank UEFI server (by Redfish), its conductor, and the real
 *  `baremetal` command line. */
import { readFile, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../../kit/clock.ts'
import { openCli, type Cli } from '../clients/cli.ts'
import { CONDUCTOR_IP } from '../lab/rack.ts'
import type { Server } from '../lab/server.ts'
import { openBench, type Bench } from './setup.ts'

const GIB = 1024 ** 3

export interface Pair {
  readonly bench: Bench
  readonly bios: Server
  readonly uefi: Server
  readonly cli: Cli
  close(): Promise<void>
}

/** `name` is short: it becomes part of a namespace's name. */
export async function openPair(name: string): Promise<Pair> {
  const bench = await openBench(name, {})
  try {
    const bios = await bench.rack.addServer({
      name: 'bios-1',
      firmware: 'bios',
      card: 'e1000e',
      diskKind: 'ahci',
      diskBytes: 5 * GIB,
      memoryMb: 1024,
    })
    const uefi = await bench.rack.addServer({
      name: 'uefi-1',
      bmc: 'redfish',
      firmware: 'uefi',
      card: 'virtio',
      diskKind: 'nvme',
      diskBytes: 6 * GIB,
      memoryMb: 1024,
    })
    await bench.conductor.start()

    const env = {
      OS_AUTH_TYPE: 'http_basic',
      OS_USERNAME: 'admin',
      OS_PASSWORD: bench.conductor.password,
      OS_ENDPOINT: `http://${CONDUCTOR_IP}:6385`,
    }
    const cli = openCli(env, bench.rack.in([]))
    const close = async () => {
      cli.close()
      await bench.rack.down()
    }
    return { bench, bios, uefi, cli, close }
  } catch (error) {
    await bench.rack.down()
    throw error
  }
}

/** From now on: resolves when the kernel of the server's own disk speaks on its console. A login was shown above; it
 *  takes half a minute more. */
export async function diskBoots(server: Server): Promise<() => Promise<unknown>> {
  const log = join(server.dir, 'console.log')
  await truncate(log, 0)
  const says = async () => /Command line: .*root=/.test((await readFile(log)).toString('latin1'))
  return () => until(says, { what: `${server.name} to start its own kernel`, timeoutMs: 300_000, everyMs: 200 })
}
