/** The load of `npm run bench -- images`: images-load.js HOST PORT PATH SIZE CLIENTS SECONDS. Each client asks for one
 *  run of pieces after the other over one connection, as agents do, and drops what it gets. Prints how many bytes that
 *  was. */
import { connect } from 'node:net'

const RUN_BYTES = 32 * 1024 * 1024
const BUFFER_BYTES = 256 * 1024
const [host = '', port = '', path = '', ...numbers] = process.argv.slice(2)
const [sizeBytes = 0, clients = 0, seconds = 0] = numbers.map(Number)
const endMs = Date.now() + seconds * 1000
let bytes = 0
let requests = 0

/** Resolves when the time is over. */
function client(number: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = 0
    let head = ''
    let turn = number
    const ask = () => {
      if (Date.now() >= endMs) {
        socket.destroy()
        return resolve()
      }
      const runs = Math.floor(sizeBytes / RUN_BYTES)
      const at = ((turn * 7) % runs) * RUN_BYTES
      turn += 1
      requests += 1
      socket.write(`GET ${path} HTTP/1.1\r\nHost: bench\r\nRange: bytes=${at}-${at + RUN_BYTES - 1}\r\n\r\n`)
    }
    const take = (chunk: Buffer): void => {
      if (left === 0) {
        head += chunk.toString('latin1')
        const end = head.indexOf('\r\n\r\n')
        if (end < 0) return
        if (!head.startsWith('HTTP/1.1 206')) return reject(new Error(head.slice(0, end)))
        const body = head.length - end - 4
        left = RUN_BYTES - body
        bytes += body
        head = ''
      } else {
        left -= chunk.length
        bytes += chunk.length
      }
      if (left === 0) ask()
    }
    const onread = {
      buffer: Buffer.allocUnsafeSlow(BUFFER_BYTES),
      callback: (length: number, buffer: Uint8Array) => {
        take(Buffer.from(buffer.buffer, buffer.byteOffset, length))
        return true
      },
    }
    const socket = connect({ host, port: Number(port), onread }, ask)
    socket.on('error', reject)
  })
}

const beganMs = Date.now()
await Promise.all(Array.from({ length: clients }, (_, number) => client(number)))
process.stdout.write(JSON.stringify({ bytes, requests, seconds: (Date.now() - beganMs) / 1000 }))
