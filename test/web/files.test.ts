/** How the files of the web console are served, and how big they are. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliDecompressSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { devConfig } from '../../conductor/config.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { silentLog } from '../../kit/log.ts'
import { SHARED } from './shared.ts'

const { ui } = SHARED
const PAGE = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }
let dir = ''
const running: Conductor[] = []
const start = async (isOn: boolean): Promise<string> => {
  const config = { ...devConfig({ port: 0, data: join(dir, String(isOn)) }), ui: isOn }
  running.push(await startConductor(config, { log: silentLog, uiDirectory: ui }))
  return running.at(-1)?.addresses[0] as string
}
let base = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-files-'))
  base = await start(true)
})
afterAll(async () => {
  await Promise.all(running.map((one) => one.stop()))
  await rm(dir, { recursive: true })
})

const get = (path: string, headers: Record<string, string> = {}, from = base) =>
  new Promise<{ status: number; headers: Record<string, unknown>; body: Buffer }>((resolve, reject) => {
    request(`${from}${path}`, { headers }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      )
    })
      .on('error', reject)
      .end()
  })

test('/ leads people to the console, and is the version document for programs', async () => {
  const person = await get('/', PAGE)
  expect([person.status, person.headers.location]).toEqual([302, '/ui/'])
  for (const accept of ['*/*', 'application/json', 'application/json, text/html']) {
    const program = await get('/', { accept })
    expect([program.status, JSON.parse(String(program.body)).name]).toEqual([200, 'OpenStack Ironic API'])
    // A cache must not answer one with what the other got.
    expect(String(program.headers.vary)).toMatch(/\bAccept\b/)
  }
  expect(JSON.parse(String((await get('/')).body)).versions).toHaveLength(1)
})

test('what has no hash in its name is asked for again each time, and allows nothing that is not from here', async () => {
  for (const path of ['/ui/', '/ui/nodes/x', '/ui/../ui/events', '/ui/icon.svg']) {
    const { status, headers, body } = await get(path)
    expect([path, status, headers['cache-control']]).toEqual([path, 200, 'no-cache'])
    const policy = String(headers['content-security-policy'])
    for (const rule of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "trusted-types 'none'"])
      expect(policy).toContain(rule)
    expect(policy).not.toMatch(/unsafe|\*|http/)
    expect(headers['x-content-type-options']).toBe('nosniff')
    expect(String(body).replace(/xmlns="[^"]*"/, '')).not.toMatch(/<script>|<style|style=|onload=|https?:/)
  }
})

test('files have the hash of their content in their names, are kept for good, and are sent compressed', async () => {
  const names = (await readdir(ui)).filter((name) => /\.(js|css)$/.test(name))
  expect(names).toHaveLength(4)
  for (const name of names) {
    const { headers, body } = await get(`/ui/${name}`, { 'accept-encoding': 'gzip, br' })
    expect([headers['content-encoding'], headers['cache-control']]).toEqual([
      'br',
      expect.stringContaining('immutable'),
    ])
    expect(brotliDecompressSync(body).equals((await get(`/ui/${name}`)).body)).toBe(true)
  }
  expect((await get('/ui/app-OLD.js')).status).not.toBe(200)
  expect((await get('/ui/%2e%2e/%2e%2e/package.json')).body.includes('"rackward"')).toBe(false)
})

test('the document of the serial console alone allows inline styles, and is served for no other address', async () => {
  const { status, headers, body } = await get('/ui/console/node-1')
  expect([status, headers['cache-control']]).toEqual([200, 'no-cache'])
  const policy = String(headers['content-security-policy'])
  expect(policy).toContain("style-src 'self' 'unsafe-inline';")
  for (const rule of ["default-src 'none'", "script-src 'self';", "connect-src 'self'", "trusted-types 'none'"])
    expect(policy).toContain(rule)
  expect(String(body)).toMatch(/src="\/ui\/console-[A-Z0-9]{8}\.js"/)
  for (const path of ['/ui/console', '/ui/console/', '/ui/console/a/b', '/ui/nodes/console', '/ui/consoles/x'])
    expect([path, String((await get(path)).headers['content-security-policy'])]).not.toEqual([
      path,
      expect.stringContaining('unsafe'),
    ])
})

test('all of it but the terminal is small: under 70 kB compressed', async () => {
  const all = (await readdir(ui)).filter((name) => !name.endsWith('.br'))
  const names = all.filter((name) => !/^(console|serial)/.test(name))
  const files = await Promise.all(names.map((name) => readFile(join(ui, name))))
  const sizeBytes = files.reduce((sum, file) => sum + gzipSync(file).length, 0)
  expect(sizeBytes).toBeGreaterThan(5_000)
  expect(sizeBytes).toBeLessThan(70_000)
})

test('an address that nobody can decode is the browser’s mistake', async () => {
  for (const path of ['/ui/%ff', '/ui/nodes/%E0%A4%A'])
    expect([path, (await get(path, PAGE)).status]).toEqual([path, 400])
  const { status, headers, body } = await get('/ui/', { range: 'bytes=0-3' })
  expect([status, headers['content-range'], body.length]).toEqual([200, undefined, Number(headers['content-length'])])
})

test('ui: false switches it off', async () => {
  const without = await start(false)
  expect((await get('/ui/', PAGE, without)).status).toBe(404)
  expect((await get('/', PAGE, without)).status).toBe(200)
})
