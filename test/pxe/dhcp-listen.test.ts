/** When the DHCP server begins to answer: not before its socket is bound to its interface. */
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock, until } from '../../kit/clock.ts'
import { freePort } from '../kit/free-port.ts'
import { bench } from './dhcp-bench.ts'

test('what comes before the socket has its interface is not listened to: it may be of another network', async () => {
  const { server, events } = bench()
  const dir = await mkdtemp(join(tmpdir(), 'rackward-dhcp-'))
  const port = await freePort()
  const client = createSocket('udp4')
  const send = (text: string) =>
    new Promise<void>((resolve, reject) =>
      client.send(Buffer.from(text), port, '127.0.0.1', (error) => (error ? reject(error) : resolve())),
    )
  try {
    // The number of the interface is read from a pipe, so it comes when the test says so.
    execFileSync('mkfifo', [join(dir, 'ifindex')])
    const listening = server.listen({ interface: join('../../..', dir), localIp: '127.0.0.1', port })
    await isBound(port)
    await send('early')
    await systemClock.sleep(200)
    await writeFile(join(dir, 'ifindex'), await readFile('/sys/class/net/lo/ifindex'))
    await listening
    expect(events).toEqual([])
    await send('late')
    await until(() => events.length > 0, { what: 'an event of the late packet', timeoutMs: 20_000 })
    expect(events).toMatchObject([{ kind: 'malformed', from: '127.0.0.1' }])
  } finally {
    server.stop()
    client.close()
    await rm(dir, { recursive: true })
  }
})

async function isBound(port: number): Promise<void> {
  const local = `:${port.toString(16).padStart(4, '0').toUpperCase()} `
  const what = `a socket at port ${port}`
  await until(async () => (await readFile('/proc/net/udp', 'utf8')).includes(local), { what, timeoutMs: 20_000 })
}
