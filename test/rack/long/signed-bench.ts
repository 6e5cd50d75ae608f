/** A rack whose one server boots by the signed ramdisk: OVMF with Secure Boot on, whose db has the certificate of the
 *  site, and which fetches one file over HTTP. */
import { defaultCache } from '../../../cli/image.ts'
import { buildSignedRamdisk } from '../../../cli/uki.ts'
import type { Server, ServerSpec } from '../../lab/server.ts'
import { openBench, type Bench } from '../setup.ts'

/** Leaves no rack behind when it fails. */
export async function openSignedBench(
  name: string,
  spec: Pick<ServerSpec, 'diskBytes' | 'tpm'>,
): Promise<{ bench: Bench; server: Server }> {
  const bench = await openBench(name, {}, { uki: true })
  try {
    const said = await buildSignedRamdisk(
      { config: bench.conductor.configFile, cacheDir: defaultCache() },
      (line) => void process.stderr.write(`  ${line}\n`),
    )
    const siteCertificate = /certificate +(\S+)/.exec(said)?.[1] ?? ''
    await bench.conductor.start()
    const server = await bench.rack.addServer({
      name: 'server-1',
      firmware: 'uefi',
      card: 'virtio',
      diskKind: 'virtio',
      memoryMb: 2048,
      secureBoot: true,
      httpBoot: true,
      siteCertificate,
      ...spec,
    })
    return { bench, server }
  } catch (error) {
    await bench.rack.down()
    throw error
  }
}
