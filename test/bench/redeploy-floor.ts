/** The floor of a redeploy, from a ramdisk that is there already: `dd` of the raw bytes of the image onto the disk,
 *  with a flush, and one start of its kernel (kexec), until its SSH server answers. */
import { open, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { buildConfigDrive } from '../../conductor/agents/config-drive.ts'
import { newNode } from '../../conductor/node/record.ts'
import type { BootKernel } from '../../images/index.ts'
import { ImageStore } from '../../images/store.ts'
import { runOk } from '../../kit/run.ts'
import { RackConductor } from '../lab/conductor.ts'
import { configDrive, enroll, provision } from '../lab/journey.ts'
import type { Firmware } from '../lab/server.ts'
import { benchServer, guestCpu, seconds, sshAnswers, WAIT_MS, type Made } from './debian-rack.ts'
import { floorInitrd, marker, rawFile } from './floor.ts'
import { inRack } from './in-rack.ts'

/** Blocks of `dd`. The image begins with the second one, so that only its copy shows file systems. */
const BLOCK_BYTES = 4 * 1024 * 1024
const DRIVE_BYTES = 8 * 1024 * 1024

export interface RedeployFloor {
  readonly dd: number
  readonly load: number
  /** From the jump until SSH answers. */
  readonly boot: number
  readonly total: number
  /** Seconds of a core that the guest took. */
  readonly cpu: number
}

const blocks = (bytes: number): number => Math.ceil(bytes / BLOCK_BYTES)

function script(image: { sizeBytes: number; bootKernel: BootKernel }): string {
  const { kernel, initrd, args } = image.bootKernel
  const kernelAt = 1 + blocks(image.sizeBytes)
  const take = (file: { sizeBytes: number }, at: number, to: string) =>
    `/bin/busybox dd if=/dev/vdb bs=4M skip=${at} count=${blocks(file.sizeBytes)} | /bin/busybox head -c ${file.sizeBytes} > ${to}`
  return `/bin/busybox dd if=/dev/vdb of=/dev/vda bs=4M skip=1 count=${blocks(image.sizeBytes)} conv=fsync
echo FLOOR-DD
${take(kernel, kernelAt, '/run/kernel')}
${take(initrd, kernelAt + blocks(kernel.sizeBytes), '/run/initrd')}
kexec --kexec-file-syscall --load /run/kernel --initrd=/run/initrd --command-line='${args.replaceAll("'", '')}'
echo FLOOR-LOADED
kexec --exec
`
}

export async function measureRedeployFloor(made: Made, firmware: Firmware): Promise<RedeployFloor> {
  const { image, imageStore, ramdisk } = made
  const { bootKernel } = image
  if (!bootKernel) throw new Error('no kernel is known of the image: import it again')
  return inRack('floor', made.accel, async (rack) => {
    const inBlocks = 1 + blocks(image.sizeBytes) + blocks(bootKernel.kernel.sizeBytes)
    const sourceBytes = (inBlocks + blocks(bootKernel.initrd.sizeBytes)) * BLOCK_BYTES
    const server = await rack.addServer({ ...benchServer(firmware), moreDisks: [sourceBytes, DRIVE_BYTES] })
    await rawFile(new ImageStore(imageStore), image, `${server.diskFile}.1`, BLOCK_BYTES)
    await addBootFiles(`${server.diskFile}.1`, { sizeBytes: image.sizeBytes, bootKernel })
    await runOk(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', join(rack.dir, 'id_ed25519')], {
      timeoutMs: 10_000,
    })
    // The system that starts has the work of a first boot with a config drive, as one that is deployed.
    const node = newNode({ uuid: '00000000-0000-4000-8000-000000000001', driver: 'ipmi', name: server.name }, 0)
    const iso = await buildConfigDrive(node, configDrive(server, 'ssh-ed25519 AAAA floor'), DRIVE_BYTES)
    await writeInto(`${server.diskFile}.2`, iso)

    const work = script({ sizeBytes: image.sizeBytes, bootKernel })
    const initrd = await floorInitrd(ramdisk.initrd, rack.dir, work)
    const conductor = await RackConductor.make(rack, { imageStore, kernel: ramdisk.kernel, initrd })
    await conductor.start()
    const uuid = await enroll(conductor.api, server)
    await provision(conductor.api, uuid, { target: 'manage' }, { to: 'manageable' })
    await conductor.api.ok('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'inspect' })
    const log = join(server.dir, 'console.log')
    const shellMs = await marker(log, 'FLOOR-SHELL', WAIT_MS)
    const before = await guestCpu(server)
    const ddMs = await marker(log, 'FLOOR-DD', WAIT_MS)
    const loadedMs = await marker(log, 'FLOOR-LOADED', WAIT_MS)
    const upMs = await sshAnswers(rack)
    return {
      dd: seconds(shellMs, ddMs),
      load: seconds(ddMs, loadedMs),
      boot: seconds(loadedMs, upMs),
      total: seconds(shellMs, upMs),
      cpu: (await guestCpu(server)) - before,
    }
  })
}

/** Kernel and initramfs after the image, each from the beginning of a block. */
async function addBootFiles(path: string, image: { sizeBytes: number; bootKernel: BootKernel }): Promise<void> {
  const file = await open(path, 'r+')
  try {
    let to = (1 + blocks(image.sizeBytes)) * BLOCK_BYTES
    for (const one of [image.bootKernel.kernel, image.bootKernel.initrd]) {
      await copyOut(file, one, to)
      to += blocks(one.sizeBytes) * BLOCK_BYTES
    }
  } finally {
    await file.close()
  }
}

async function copyOut(file: FileHandle, { extents }: BootKernel['kernel'], to: number): Promise<void> {
  let done = 0
  for (const { at, lengthBytes } of extents) {
    const bytes = Buffer.alloc(lengthBytes)
    await file.read(bytes, 0, lengthBytes, BLOCK_BYTES + at)
    await file.write(bytes, 0, lengthBytes, to + done)
    done += lengthBytes
  }
}

async function writeInto(path: string, bytes: Buffer): Promise<void> {
  await writeFile(path, bytes, { flag: 'r+' })
}
