/** The TPM as a device file. The kernel's resource manager (/dev/tpmrm0) forgets keys and sessions when it is
 *  closed. */
import { open } from 'node:fs/promises'
import { Fault } from '../../../kit/fault.ts'

/** Sends one command, resolves to its response. */
export type Transmit = (command: Buffer) => Promise<Buffer>

export interface TpmDevice {
  readonly transmit: Transmit
  close(): Promise<void>
}

/** Larger than any response of a TPM. */
const RESPONSE_BYTES = 8192

/** Throws `tpm.absent`. */
export async function openTpm(path = '/dev/tpmrm0'): Promise<TpmDevice> {
  const file = await open(path, 'r+').catch((error: NodeJS.ErrnoException) => {
    const isGone = error.code === 'ENOENT' || error.code === 'ENODEV' || error.code === 'ENXIO'
    throw new Fault(isGone ? 'tpm.absent' : 'tpm.failed', `${path}: ${error.message}`, { cause: error })
  })
  return {
    async transmit(command) {
      try {
        await file.write(command, 0, command.length, null)
        const { buffer, bytesRead } = await file.read(Buffer.alloc(RESPONSE_BYTES), 0, RESPONSE_BYTES, null)
        return buffer.subarray(0, bytesRead)
      } catch (error) {
        throw new Fault('tpm.failed', `${path}: ${(error as Error).message}`, { cause: error })
      }
    },
    close: () => file.close(),
  }
}
