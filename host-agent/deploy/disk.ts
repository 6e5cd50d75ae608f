/** A disk as a file: positioned reads and writes that never come back short, and reads that come from the disk and not
 *  from memory. */
import { open, writeFile, type FileHandle } from 'node:fs/promises'
import { Fault } from '../../kit/fault.ts'

export class DiskFile {
  readonly path: string
  private readonly file: FileHandle

  private constructor(path: string, file: FileHandle) {
    this.path = path
    this.file = file
  }

  static async open(path: string): Promise<DiskFile> {
    const file = await open(path, 'r+').catch((error: Error) => {
      throw new Fault('deploy.write', `cannot open ${path}: ${error.message}`, { cause: error })
    })
    return new DiskFile(path, file)
  }

  async write(bytes: Buffer, at: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.file
        .write(bytes, done, bytes.length - done, at + done)
        .catch((error: Error) => {
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
      const { bytesRead } = await this.file.read(into, done, into.length - done, at + done).catch((error: Error) => {
        throw new Fault('deploy.readback', `cannot read ${this.path} at byte ${at + done}: ${error.message}`, {
          cause: error,
        })
      })
      if (bytesRead === 0) throw new Fault('deploy.readback', `${this.path} ends at byte ${at + done}`)
      done += bytesRead
    }
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

  close(): Promise<void> {
    return this.file.close()
  }
}
