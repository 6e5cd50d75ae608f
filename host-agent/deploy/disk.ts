/** A disk as a file: positioned reads and writes that never come back short, and reads that come from the disk and not
 *  from memory. What is aligned leaves the page cache out, where the disk allows it: that costs no memory, and half the
 *  time of the processor. */
import { constants } from 'node:fs'
import { open, writeFile, type FileHandle } from 'node:fs/promises'
import { Fault } from '../../kit/fault.ts'
import { isAligned } from './aligned.ts'

export class DiskFile {
  readonly path: string
  private readonly file: FileHandle
  /** The same with O_DIRECT; undefined: it cannot. */
  private direct: FileHandle | undefined
  private readonly opened: readonly FileHandle[]

  private constructor(path: string, file: FileHandle, direct: FileHandle | undefined) {
    this.path = path
    this.file = file
    this.direct = direct
    this.opened = direct ? [direct, file] : [file]
  }

  static async open(path: string): Promise<DiskFile> {
    const file = await open(path, 'r+').catch((error: Error) => {
      throw new Fault('deploy.write', `cannot open ${path}: ${error.message}`, { cause: error })
    })
    const direct = await open(path, constants.O_RDWR | constants.O_DIRECT).catch(() => undefined)
    return new DiskFile(path, file, direct)
  }

  async write(bytes: Buffer, at: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.moved(bytes.subarray(done), at + done, (file, part, place) =>
        file.write(part, 0, part.length, place),
      ).catch((error: Error) => {
        throw new Fault('deploy.write', `cannot write ${this.path} at byte ${at + done}: ${error.message}`, {
          cause: error,
        })
      })
      done += bytesWritten
    }
  }

  /** Fills `into` or throws. */
  async read(into: Buffer, at: number): Promise<void> {
    for (let done = 0; done < into.length;) {
      const { bytesRead } = await this.moved(into.subarray(done), at + done, (file, part, place) =>
        file.read(part, 0, part.length, place),
      ).catch((error: Error) => {
        throw new Fault('deploy.readback', `cannot read ${this.path} at byte ${at + done}: ${error.message}`, {
          cause: error,
        })
      })
      if (bytesRead === 0) throw new Fault('deploy.readback', `${this.path} ends at byte ${at + done}`)
      done += bytesRead
    }
  }

  /** By the page cache where it cannot be done without: the disk has larger sectors, or its driver does not do it. */
  private async moved<T>(
    bytes: Buffer,
    at: number,
    move: (file: FileHandle, bytes: Buffer, at: number) => Promise<T>,
  ): Promise<T> {
    const { direct } = this
    if (!direct || !isAligned(bytes, at)) return move(this.file, bytes, at)
    return move(direct, bytes, at).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EINVAL') throw error
      this.direct = undefined
      return move(this.file, bytes, at)
    })
  }

  /** Everything written is on the disk, and what is read next comes from there. */
  async flush(): Promise<void> {
    await this.file.sync().catch((error: Error) => {
      throw new Fault('deploy.write', `${this.path} could not be flushed: ${error.message}`, { cause: error })
    })
    // Clean pages are dropped, so that reading back asks the disk (Documentation/admin-guide/sysctl/vm.rst,
    // drop_caches).
    await writeFile('/proc/sys/vm/drop_caches', '1').catch(() => undefined)
  }

  async close(): Promise<void> {
    for (const file of this.opened) await file.close()
  }
}
