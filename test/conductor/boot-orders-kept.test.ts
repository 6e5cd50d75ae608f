/** Boot orders on their way and kept: what did not change is not sent, a change is the write of one row, and all are
 *  there again after a restart. */
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openClientFile, type ClientStore } from '../../conductor/boot/client-file.ts'
import { BootClients } from '../../conductor/boot/clients.ts'
import { BootService } from '../../conductor/boot/service.ts'
import { BootLink } from '../../conductor/boot/link.ts'
import { readLines, writeLine, type ToBoot } from '../../conductor/boot/wire.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { client, numberedMac } from './boot-clients.ts'

let dir = ''
let warnings: string[] = []
/** MACs of each transaction. */
let writes: string[][] = []
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-orders-'))
  warnings = []
  writes = []
})
afterEach(() => rm(dir, { recursive: true }))

function counted(store: ClientStore): ClientStore {
  return {
    load: () => store.load(),
    close: () => store.close(),
    write: (changes) => {
      writes.push([...changes.keys()])
      store.write(changes)
    },
  }
}

async function load(): Promise<BootClients> {
  const onWarning = (what: string) => void warnings.push(what)
  const clients = new BootClients({
    open: () => counted(openClientFile(join(dir, 'clients.db'), onWarning)),
    snapshot: join(dir, 'snapshot.json'),
    clock: systemClock,
    onWarning,
  })
  await clients.load()
  return clients
}
const about = { t: 'clients', revision: 1, whole: false, set: [], gone: [], media: [] } as const

describe('the clients', () => {
  test('are there again after a restart, with every change; a fixed address is known while one client has it', async () => {
    const clients = await load()
    const all = [client('a', '10.0.0.5'), client('b', '10.0.0.5'), client('c')]
    clients.apply({ ...about, whole: true, set: all })
    clients.apply({ ...about, set: [client('b', '10.0.0.6')], gone: ['a', 'c'] })
    await clients.stop()
    const again = await load()
    for (const one of [clients, again]) {
      expect(['a', 'b', 'c'].map((mac) => one.get(mac)?.fixedIp)).toEqual([undefined, '10.0.0.6', undefined])
      expect(['10.0.0.5', '10.0.0.6'].map(one.isFixed)).toEqual([false, true])
    }
    await again.stop()
    expect(warnings).toEqual([])
  })

  test('a change writes its own row, and a list that says nothing new writes nothing', async () => {
    const clients = await load()
    const all = Array.from({ length: 2_000 }, (_, n) => client(numberedMac(n)))
    clients.apply({ ...about, whole: true, set: all })
    await until(() => writes.length === 1, { what: 'the first write', timeoutMs: 20_000 })
    expect(writes[0]).toHaveLength(2_000)

    clients.apply({ ...about, set: [client(numberedMac(7), '10.0.0.7')], gone: [numberedMac(8), 'unknown'] })
    await until(() => writes.length === 2, { what: 'the second write', timeoutMs: 20_000 })
    expect(writes[1]?.sort()).toEqual([numberedMac(7), numberedMac(8)])

    clients.apply({ ...about, whole: true, set: all.filter((_, n) => n !== 8) })
    await clients.stop()
    expect(writes[2]).toEqual([numberedMac(7)])
    const again = await load()
    again.apply({ ...about, whole: true, set: all.filter((_, n) => n !== 8) })
    await again.stop()
    expect(writes).toHaveLength(3)
  })

  test('a whole list in parts drops what was in none of them, and only with its end', async () => {
    const clients = await load()
    clients.apply({ ...about, whole: true, set: ['a', 'b', 'c', 'd'].map((mac) => client(mac)) })
    const known = () => ['a', 'b', 'c', 'd'].filter((mac) => clients.get(mac))
    clients.apply({ ...about, whole: true, more: true, set: [client('a')] })
    expect(known()).toEqual(['a', 'b', 'c', 'd'])
    // The connection ended; the next conductor begins anew.
    clients.begin()
    clients.apply({ ...about, whole: true, more: true, set: [client('b')] })
    clients.apply({ ...about, whole: true, set: [client('c')] })
    expect(known()).toEqual(['b', 'c'])
    await clients.stop()
  })

  test('a write that failed is made up for by the next one', async () => {
    const onWarning = (what: string) => void warnings.push(what)
    const file = openClientFile(join(dir, 'clients.db'), onWarning)
    let full = true
    const write: ClientStore['write'] = (changes) => {
      if (full) throw new Error('disk full')
      file.write(changes)
    }
    const store = { load: () => file.load(), close: () => file.close(), write }
    const clients = new BootClients({ open: () => store, snapshot: join(dir, 'no'), clock: systemClock, onWarning })
    await clients.load()
    clients.apply({ ...about, set: [client('a')] })
    await until(() => warnings.length > 0, { what: 'a warning', timeoutMs: 20_000 })
    full = false
    clients.apply({ ...about, set: [client('b')] })
    await clients.stop()
    const again = await load()
    expect(['a', 'b'].map((mac) => again.get(mac)?.mac)).toEqual(['a', 'b'])
    await again.stop()
  })

  test('the snapshot of an older program is taken over, once', async () => {
    await writeFile(join(dir, 'snapshot.json'), JSON.stringify([client('a', '10.0.0.5')]))
    for (let start = 0; start < 2; start += 1) {
      const clients = await load()
      expect([clients.get('a'), clients.isFixed('10.0.0.5')]).toEqual([client('a', '10.0.0.5'), true])
      await clients.stop()
      await expect(stat(join(dir, 'snapshot.json'))).rejects.toThrow('ENOENT')
    }
    expect(writes).toHaveLength(1)
  })

  const { order: _, ...orderless } = client('c')
  test.each([{}, orderless])(
    'a snapshot with something that is no order is a warning, and holds up nothing later',
    async (odd) => {
      await writeFile(join(dir, 'snapshot.json'), JSON.stringify([client('a'), odd]))
      const clients = await load()
      expect(warnings).toEqual([expect.stringContaining('entry 1')])
      clients.apply({ ...about, set: [client('b')] })
      await clients.stop()
      expect(warnings).toHaveLength(1)
      const again = await load()
      expect(['a', 'b'].map((mac) => again.get(mac)?.mac)).toEqual([undefined, 'b'])
      await again.stop()
    },
  )

  test('a snapshot beside newer orders is removed, and never taken over later', async () => {
    const clients = await load()
    clients.apply({ ...about, set: [client('a')] })
    await clients.stop()
    await writeFile(join(dir, 'snapshot.json'), JSON.stringify([client('old')]))
    const second = await load()
    second.apply({ ...about, whole: true, set: [] })
    await second.stop()
    const third = await load()
    expect(third.get('old')).toBeUndefined()
    await third.stop()
  })

  test('one row that is damaged costs that order alone', async () => {
    const clients = await load()
    clients.apply({ ...about, set: [client('a'), client('b'), client('c')] })
    await clients.stop()
    const db = new Database(join(dir, 'clients.db'))
    db.exec(`UPDATE clients SET body = '{"mac' WHERE mac = 'a'; UPDATE clients SET body = 'null' WHERE mac = 'b'`)
    db.close()
    const again = await load()
    expect(['a', 'b', 'c'].map((mac) => again.get(mac)?.mac)).toEqual([undefined, undefined, 'c'])
    expect(warnings).toEqual([expect.stringMatching(/^2 stored boot orders/)])
    await again.stop()
  })

  test('boot services that end write the orders before their socket goes, so that the next ones read them', async () => {
    const clients = await load()
    clients.apply({ ...about, set: [client('a')] })
    let found: string[] = []
    const life = {
      stop: async () => {
        const next = openClientFile(join(dir, 'clients.db'), () => undefined)
        found = next.load().map((text) => (JSON.parse(text) as { mac: string }).mac)
        next.close()
      },
    }
    const quiet = { stop: () => undefined }
    await BootService.prototype.stop.call({ clients, life, events: quiet, counters: quiet } as never)
    expect(found).toEqual(['a'])
    await clients.stop()
  })

  test.each(['snapshot.json', 'clients.db'])(
    '%s that is damaged is a warning, not the end; the next list replaces it',
    async (name) => {
      await writeFile(join(dir, name), '[{"mac": "a"'.repeat(100))
      const clients = await load()
      expect(warnings).toHaveLength(1)
      clients.apply({ ...about, whole: true, set: [client('a')] })
      await clients.stop()
      const again = await load()
      expect(again.get('a')).toEqual(client('a'))
      await again.stop()
    },
  )
})

describe('the link', () => {
  test('sends all in parts to who connects, then what changed, and nothing when nothing did', async () => {
    const got: (ToBoot & { t: 'clients' })[] = []
    const sockets: Socket[] = []
    const server = createServer((socket) => {
      sockets.push(socket)
      writeLine(socket, { t: 'hello', fingerprint: 'f', pid: 1 })
      readLines<ToBoot>(socket, (message) => {
        if (message.t !== 'clients') return
        got.push(message)
        if (!message.more) writeLine(socket, { t: 'have', revision: message.revision })
      })
    }).listen(join(dir, 'boot.sock'))
    await once(server, 'listening')
    const link = new BootLink({
      dataDir: dir,
      fingerprint: 'f',
      launch: () => ({ running: () => true }),
      clock: systemClock,
      log: silentLog,
      onEvent: () => undefined,
    })
    const all = Array.from({ length: 1_200 }, (_, n) => client(numberedMac(n)))
    await link.start(all)
    await link.flush()
    expect(got.flatMap(({ set }) => set)).toEqual(all)
    expect(got.every(({ set, whole }) => whole && set.length <= 500)).toBe(true)
    expect(got.map(({ more }) => more === true)).toEqual([true, true, false])

    const before = got.length
    const quiet = { nodeUuid: 'node', boot: null }
    for (let n = 0; n < 100; n += 1) link.update([client(numberedMac(n))], ['unknown'], [quiet])
    link.update([client(numberedMac(5), '10.0.0.5'), client(numberedMac(6))], [numberedMac(9), 'unknown'], [quiet])
    link.update([], [numberedMac(9)], [quiet])
    await link.flush()
    expect(got.slice(before)).toEqual([
      { ...about, revision: 2, set: [client(numberedMac(5), '10.0.0.5')], gone: [numberedMac(9)] },
    ])
    // Nobody is answered any more; and nothing is withdrawn twice.
    link.withdraw()
    link.withdraw()
    await link.flush()
    const { set, gone } = got.at(-1) ?? {}
    expect([got.length - before, set, gone?.length]).toEqual([2, [], all.length - 1])
    await link.stop()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
})
