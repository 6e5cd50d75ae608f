/** A software TPM (swtpm) as a process of its own, on a socket, with PCRs that a test extends. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../../../kit/clock.ts'
import { piped, type Piped } from '../../../kit/run.ts'
import type { TpmDevice, Transmit } from '../../../host-agent/deploy/tpm/device.ts'

const START_MS = 10_000

export class Swtpm implements TpmDevice {
  private readonly dir: string
  private readonly child: Piped
  private readonly socket: Socket

  private constructor(dir: string, child: Piped, socket: Socket) {
    this.dir = dir
    this.child = child
    this.socket = socket
  }

  static async start(): Promise<Swtpm> {
    const dir = await mkdtemp(join(tmpdir(), 'swtpm-'))
    const path = join(dir, 'socket')
    const child = piped([
      'swtpm',
      'socket',
      '--tpm2',
      '--tpmstate',
      `dir=${dir}`,
      '--server',
      `type=unixio,path=${path}`,
      '--flags',
      'not-need-init,startup-clear',
    ])
    const socket = await until(() => opened(path).catch(() => undefined), { what: 'swtpm', timeoutMs: START_MS })
    return new Swtpm(dir, child, socket)
  }

  transmit: Transmit = (command) =>
    new Promise((resolve, reject) => {
      let got = Buffer.alloc(0)
      const onData = (chunk: Buffer) => {
        got = Buffer.concat([got, chunk])
        if (got.length < 6 || got.length < got.readUInt32BE(2)) return
        this.socket.off('data', onData)
        this.socket.off('error', reject)
        resolve(got)
      }
      this.socket.on('data', onData)
      this.socket.once('error', reject)
      this.socket.write(command)
    })

  /** TPM2_PCR_Extend of the SHA-256 bank. */
  async extend(pcr: number, digest: Buffer): Promise<void> {
    const handle = Buffer.alloc(4)
    handle.writeUInt32BE(pcr)
    await this.command(0x8002, 0x182, [handle, hex('00000009 40000009 0000 00 0000 00000001 000b'), digest])
  }

  /** TPM2_HierarchyChangeAuth of the endorsement hierarchy. */
  async setEndorsementPassword(password: string): Promise<void> {
    const size = Buffer.from([0, password.length])
    const parts = [hex('4000000b 00000009 40000009 0000 00 0000'), size, Buffer.from(password)]
    await this.command(0x8002, 0x129, parts)
  }

  /** TPM2_HierarchyControl: the endorsement hierarchy is switched off. */
  disableEndorsement = (): Promise<void> =>
    this.command(0x8002, 0x121, [hex('4000000c 00000009 40000009 0000 00 0000 4000000b 00')])

  /** Whoever opened it for one proof closes nothing: it is the test's. */
  close = (): Promise<void> => Promise.resolve()

  async end(): Promise<void> {
    this.socket.destroy()
    this.child.end()
    await this.child.done.catch(() => undefined)
    await rm(this.dir, { recursive: true, force: true })
  }

  private async command(tag: number, code: number, parts: readonly Buffer[]): Promise<void> {
    const body = Buffer.concat(parts)
    const head = Buffer.alloc(10)
    head.writeUInt16BE(tag)
    head.writeUInt32BE(10 + body.length, 2)
    head.writeUInt32BE(code, 6)
    const answer = await this.transmit(Buffer.concat([head, body]))
    const found = answer.readUInt32BE(6)
    if (found !== 0) throw new Error(`swtpm answered 0x${code.toString(16)} with 0x${found.toString(16)}`)
  }
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

const opened = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket))
    socket.once('error', reject)
  })

export const sha256 = (bytes: Buffer | string): Buffer => createHash('sha256').update(bytes).digest()
