/** What the Nova driver must find true, of the twin and of a real Nova alike. */
import { createServer, request as httpRequest, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { http } from '../../kit/http.ts'
import { NovaDriver } from '../../host-agent/adapters/instances/nova.ts'
import { keystoneAt } from './keystone-account.ts'
import { MemoryMesh } from './memory-world.ts'

/** A Nova with three hosts and the ways to hurt it. */
export interface NovaUnderTest {
  readonly authUrl: string
  readonly hosts: readonly [string, string, string]
  /** Ids of so many new servers on a host. */
  seed(host: string, count: number): Promise<string[]>
  kill(host: string): Promise<void>
  restart(host: string): Promise<void>
  expireTokens(): Promise<void>
  setEnabled(host: string, enabled: boolean): Promise<void>
  remove(ids: readonly string[]): Promise<void>
}

/** Passes everything on; loses the answers to so many evacuations, and refuses the token of so many requests. */
async function lossyProxy(
  target: URL,
  lose: { count: number; deny: number },
): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks)
      if (lose.deny > 0) {
        lose.deny -= 1
        response.writeHead(401, { 'content-type': 'application/json' })
        return response.end('{"error":{"code":401,"title":"Unauthorized"}}')
      }
      const evacuation = request.url?.endsWith('/action') && body.toString().includes('evacuate')
      const ask = httpRequest(
        new URL(request.url ?? '/', target),
        { method: request.method, headers: { ...request.headers, host: target.host } },
        (answer) => {
          if (evacuation && lose.count > 0) {
            lose.count -= 1
            answer.resume()
            answer.on('end', () => response.destroy())
            return
          }
          response.writeHead(answer.statusCode ?? 500, answer.headers)
          answer.pipe(response)
        },
      )
      ask.on('error', () => response.destroy())
      ask.end(body)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

export function novaConformance(
  name: string,
  start: () => Promise<{ nova: NovaUnderTest; stop: () => Promise<void> }>,
  patienceMs: number,
): void {
  describe(name, () => {
    let nova: NovaUnderTest
    let stop: () => Promise<void>
    let proxy: Server
    const lose = { count: 0, deny: 0 }
    let driver: NovaDriver
    const signal = () => AbortSignal.timeout(patienceMs)
    const settled = (host: string, ids: readonly string[], at: string) =>
      until(
        async () =>
          [...(await driver.locate(host, { instances: ids, arrived: [] }, signal())).values()].every(
            (one) => one.at === at,
          ),
        {
          what: `${ids.length} servers to be ${at}`,
          timeoutMs: patienceMs,
          everyMs: 200,
        },
      )

    beforeAll(async () => {
      const started = await start()
      nova = started.nova
      stop = started.stop
      const probe = await http({
        method: 'POST',
        url: `${nova.authUrl}/auth/tokens`,
        body: {
          auth: {
            identity: {
              methods: ['password'],
              password: { user: { name: 'admin', domain: { name: 'Default' }, password: 'peer' } },
            },
            scope: { project: { name: 'admin', domain: { name: 'Default' } } },
          },
        },
        signal: signal(),
      })
      const catalog = (
        probe.body as { token: { catalog: { type: string; endpoints: { interface: string; url: string }[] }[] } }
      ).token.catalog
      const compute = new URL(
        catalog.find(({ type }) => type === 'compute')?.endpoints.find((one) => one.interface === 'public')?.url ?? '',
      )
      const made = await lossyProxy(compute, lose)
      proxy = made.server
      driver = new NovaDriver(
        keystoneAt(nova.authUrl, { region: 'RegionOne', computeUrl: `${made.url}${compute.pathname}` }),
        { sharedDisks: true },
      )
    }, 600_000)
    afterAll(async () => {
      proxy?.closeAllConnections()
      proxy?.close()
      await stop?.()
    }, 60_000)

    test('lists the servers of a host, all pages of them, and no others', { timeout: patienceMs }, async () => {
      const [first, second] = nova.hosts
      const [a, b] = [await nova.seed(first, 3), await nova.seed(second, 1)]
      const listing = await driver.list(first, signal())
      expect(listing.complete).toBe(true)
      expect(listing.instances.map(({ id }) => id).sort()).toEqual([...a].sort())
      const { instances } = await driver.survey(signal())
      expect(instances[first]?.length).toBe(3)
      expect(instances[second]?.map(({ id }) => id)).toEqual(b)
      expect((await driver.list('nobody', signal())).instances).toEqual([])
      await nova.remove([...a, ...b])
    })

    test(
      'is refused while the host still serves, and knows a server that is gone',
      { timeout: patienceMs },
      async () => {
        const [first] = nova.hosts
        const [id] = (await nova.seed(first, 1)) as [string]
        const order = { instance: id, source: first, target: null, token: 't', down: [] }
        expect(await driver.start(order, signal())).toMatchObject({ got: 'refused', final: false })
        expect((await driver.locate(first, { instances: [id], arrived: [] }, signal())).get(id)).toEqual({
          at: 'source',
        })
        await nova.remove([id])
        await until(
          async () => (await driver.locate(first, { instances: [id], arrived: [] }, signal())).get(id)?.at === 'gone',
          {
            what: 'the server to be gone',
            timeoutMs: patienceMs,
          },
        )
        expect(await driver.start(order, signal())).toMatchObject({ got: 'refused', final: true })
      },
    )

    test(
      'a dead host: all its servers run elsewhere, each asked for once, though answers are lost and the token ends',
      { timeout: patienceMs * 3 },
      async () => {
        const [first] = nova.hosts
        const ids = await nova.seed(first, 4)
        await nova.kill(first)
        lose.count = 2
        await nova.expireTokens()
        const mesh = new MemoryMesh(driver, nova.hosts)
        try {
          await mesh.fence(first, patienceMs * 2)
          expect(mesh.intents().filter(({ state }) => state !== 'CONFIRMED')).toEqual([])
          expect(mesh.intents().map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1])
          for (const where of (await driver.locate(first, { instances: ids, arrived: [] }, signal())).values())
            expect(where.at).toBe('moved')
        } finally {
          mesh.stop()
        }
        // The way back: "forced down" is lifted only after its nova-compute has started.
        expect(await driver.readmit(first, 'clean', signal())).toBe(true)
        expect(await driver.readmit(first, 'enable', signal())).toBe(false)
        await nova.restart(first)
        await until(() => driver.readmit(first, 'enable', signal()), {
          what: 'the host to be taken back',
          timeoutMs: patienceMs,
          everyMs: 300,
        })
        await nova.remove(ids)
      },
    )

    test('no host has room: named, and moved by the next try', { timeout: patienceMs * 3 }, async () => {
      const [first, second, third] = nova.hosts
      const [id] = (await nova.seed(first, 1)) as [string]
      await nova.kill(first)
      await driver.prepare(first, { why: 'a test', bootId: null, systemUuid: null }, signal())
      await driver.prepare(first, { why: 'a test', bootId: null, systemUuid: null }, signal())
      await nova.setEnabled(second, false)
      await nova.setEnabled(third, false)
      const order = { instance: id, source: first, target: null, token: 't', down: [] }
      expect(await driver.start(order, signal())).toMatchObject({ got: 'accepted' })
      await settled(first, [id], 'failed')
      await nova.setEnabled(second, true)
      await nova.setEnabled(third, true)
      expect(await driver.start(order, signal())).toMatchObject({ got: 'accepted' })
      await settled(first, [id], 'moved')
      await nova.restart(first)
      await until(() => driver.readmit(first, 'enable', signal()), {
        what: 'the host to be taken back',
        timeoutMs: patienceMs,
        everyMs: 300,
      })
      await nova.remove([id])
    })
  })
}
