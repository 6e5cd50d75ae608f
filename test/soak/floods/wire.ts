/** Floods of the boot services, from a host on the provisioning network that nobody enrolled. */
import { createSocket } from 'node:dgram'
import { request } from 'node:http'
import { connect } from 'node:net'
import { pause } from '../pause.ts'
import { lanes, type Flood, type Target } from './flood.ts'

/** A DHCPDISCOVER of a PXE client (RFC 2131 section 2, RFC 4578). */
export function discover(mac: string, xid: number): Buffer {
  const packet = Buffer.alloc(240)
  packet.set([1, 1, 6, 0])
  packet.writeUInt32BE(xid >>> 0, 4)
  packet.writeUInt16BE(0x8000, 10)
  packet.set(Buffer.from(mac.replaceAll(':', ''), 'hex'), 28)
  packet.writeUInt32BE(0x63825363, 236)
  const vendorClass = Buffer.from('PXEClient:Arch:00007:UNDI:003016')
  const options = [53, 1, 1, 93, 2, 0, 7, 60, vendorClass.length, ...vendorClass, 55, 4, 1, 3, 66, 67, 255]
  return Buffer.concat([packet, Buffer.from(options)])
}

const randomMac = (i: number) =>
  `02:${[24, 16, 8, 0].map((shift) => ((i >>> shift) & 255).toString(16).padStart(2, '0')).join(':')}:${(i % 251).toString(16).padStart(2, '0')}`

function dhcpFlood(name: string, mac: (i: number, target: Target) => string): Flood {
  return {
    name,
    fromWire: true,
    async run(target, signal) {
      const socket = createSocket('udp4')
      await new Promise<void>((resolve) => {
        socket.bind(0, () => resolve())
      })
      const count = await lanes(1, signal, async (i) => {
        // As a relay would send it: an ordinary socket needs no broadcast address for that, and the server reads it all
        // the same.
        for (let n = 0; n < 50; n += 1) socket.send(discover(mac(i * 50 + n, target), i * 50 + n), 67, target.boot.host)
        return pause(4)
      })
      socket.close()
      return count * 50
    },
  }
}

export const dhcpStrangers = dhcpFlood('DHCP of random MACs', randomMac)
export const dhcpKnown = dhcpFlood('DHCP of a known MAC with odd architectures', (_, target) => target.knownMac)

export const tftpRefused: Flood = {
  name: 'TFTP requests for what is not there',
  fromWire: true,
  async run(target, signal) {
    const socket = createSocket('udp4')
    socket.on('error', () => undefined)
    const count = await lanes(1, signal, async (i) => {
      for (let n = 0; n < 25; n += 1) {
        const name = `\u001b]0;owned\u0007${'a'.repeat(140)}-${i * 25 + n}`
        socket.send(Buffer.concat([Buffer.from([0, 1]), Buffer.from(`${name}\0octet\0`)]), 69, target.boot.host)
      }
      return pause(5)
    })
    socket.close()
    return count * 25
  },
}

/** Transfers that are begun with the longest time-out and never acknowledged. */
export const tftpHeld: Flood = {
  name: 'TFTP transfers that are never acknowledged',
  fromWire: true,
  async run(target, signal) {
    return lanes(4, signal, async () => {
      const socket = createSocket('udp4')
      socket.on('error', () => undefined)
      socket.send(
        Buffer.concat([Buffer.from([0, 1]), Buffer.from('snponly.efi\0octet\0timeout\x00255\0')]),
        69,
        target.boot.host,
      )
      await pause(10)
      socket.close()
    })
  },
}

export const bootScripts: Flood = {
  name: 'boot scripts asked for by a stranger',
  fromWire: true,
  run: (target, signal) =>
    lanes(
      8,
      signal,
      (i) =>
        new Promise<void>((resolve) => {
          const mac = (i % 2 === 0 ? target.knownMac : randomMac(i)).replaceAll(':', '-')
          const asked = request(
            `http://${target.boot.host}:${target.boot.httpPort}/boot/${mac}/script.ipxe`,
            { agent: false, timeout: 10_000 },
            (response) => {
              response.resume()
              response.on('end', resolve)
              response.on('error', () => resolve())
            },
          )
          asked.on('timeout', () => asked.destroy())
          asked.on('error', () => resolve())
          asked.end()
        }),
    ),
}

/** Downloads that are asked for and not read. */
export const unreadDownloads: Flood = {
  name: 'downloads that nobody reads',
  fromWire: true,
  async run(target, signal) {
    let open = 0
    return lanes(4, signal, async () => {
      if (open >= 800) return pause(100)
      const socket = connect({ host: target.boot.host, port: target.boot.httpPort })
      open += 1
      socket.on('error', () => undefined)
      socket.on('close', () => {
        open -= 1
      })
      socket.pause()
      socket.write('GET /ramdisk/kernel HTTP/1.1\r\nHost: a\r\n\r\n')
      signal.addEventListener('abort', () => socket.destroy(), { once: true })
      return pause(5)
    })
  },
}
