/** Keys of Secure Boot in firmware that is in setup mode: which updates are taken, in which order they are written, and
 *  what proves them. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AGENT_STEPS } from '../../conductor/node/policy/steps.ts'
import { enrollKeys } from '../../host-agent/deploy/keys.ts'

const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
const MODE = `SetupMode-${GLOBAL}`

/** A signature list with one entry (UEFI 2.10, 32.4.1). */
function listOf(content: string): Buffer {
  const entry = Buffer.concat([Buffer.alloc(16, 7), Buffer.from(content)])
  const head = Buffer.alloc(28)
  head.writeUInt32LE(28 + entry.length, 16)
  head.writeUInt32LE(entry.length, 24)
  return Buffer.concat([head, entry])
}
/** The signed update of a variable with these lists; only its form counts here. */
function updateOf(lists: Buffer, signature = Buffer.alloc(100, 9)): string {
  const head = Buffer.alloc(16 + 24)
  head.writeUInt32LE(24 + signature.length, 16)
  head.writeUInt16LE(0x0200, 20)
  head.writeUInt16LE(0x0ef1, 22)
  Buffer.from('9dd2af4adf68ee498aa9347d375665a7', 'hex').copy(head, 24)
  return Buffer.concat([head, signature, lists]).toString('base64')
}
const LISTS = { db: listOf('db'), KEK: listOf('KEK'), PK: Buffer.concat([listOf('PK'), listOf('PK 2')]) }
const UPDATES = { db: updateOf(LISTS.db), KEK: updateOf(LISTS.KEK), PK: updateOf(LISTS.PK) }

let efivars = ''
let written: string[] = []
let freed: string[] = []
/** Firmware keeps the lists of an update without its signature, and leaves setup mode with the platform key. */
const firmware = (refuses?: string) => async (path: string, bytes: Buffer) => {
  const name = basename(path).split('-')[0] ?? ''
  written.push(name)
  if (name === refuses) throw new Error('EINVAL: invalid argument, write')
  expect(bytes.subarray(0, 4)).toEqual(Buffer.from([0x27, 0, 0, 0]))
  const lists = bytes.subarray(4 + 16 + bytes.readUInt32LE(4 + 16))
  await writeFile(path, Buffer.concat([bytes.subarray(0, 4), lists]))
  if (name === 'PK') await writeFile(join(efivars, MODE), Buffer.from([6, 0, 0, 0, 0]))
}
const run = async (argv: readonly string[]) => {
  freed.push(basename(argv.at(-1) ?? ''))
  return { code: 0, stdout: '', stderr: '' } as never
}
const enroll = (write = firmware()) => enrollKeys(UPDATES, { run, efivars, write })

beforeEach(async () => {
  efivars = await mkdtemp(join(tmpdir(), 'rackward-efivars-'))
  written = []
  freed = []
  await writeFile(join(efivars, MODE), Buffer.from([6, 0, 0, 0, 1]))
})
afterEach(() => rm(efivars, { recursive: true, force: true }))

test('db, KEK and PK are written in this order, each once, and read back; a repetition writes nothing', async () => {
  await enroll()
  expect([written, freed]).toEqual([['db', 'KEK', 'PK'], []])
  expect((await readFile(join(efivars, `PK-${GLOBAL}`))).subarray(4)).toEqual(LISTS.PK)
  await enroll()
  expect(written).toHaveLength(3)
})

test('what a refused write has left is made writable first', async () => {
  await expect(enroll(firmware('KEK'))).rejects.toMatchObject({
    code: 'clean.failed',
    detail: expect.stringMatching(/refused KEK.*EINVAL/),
  })
  await enroll()
  expect([written, freed.map((name) => name.split('-')[0])]).toEqual([['db', 'KEK', 'db', 'KEK', 'PK'], ['db']])
})

test('firmware that takes a key and keeps another, or stays in setup mode, is a fault', async () => {
  const forgets = async (path: string) => writeFile(path, Buffer.from([0x27, 0, 0, 0, 1, 2, 3]))
  await expect(enroll(forgets)).rejects.toThrow(/took db, and does not show its keys/)
  const stays = async (path: string, bytes: Buffer) => {
    await firmware()(path, bytes)
    await writeFile(join(efivars, MODE), Buffer.from([6, 0, 0, 0, 1]))
  }
  await expect(enroll(stays)).rejects.toThrow(/still in setup mode/)
})

test('firmware with other keys is left alone, and the fault names the step that clears them', async () => {
  await writeFile(join(efivars, MODE), Buffer.from([6, 0, 0, 0, 0]))
  await expect(enroll()).rejects.toThrow(/clear_secure_boot_keys/)
  await rm(join(efivars, MODE))
  await expect(enroll()).rejects.toThrow(/not started by UEFI/)
  expect(written).toEqual([])
})

test.each([
  ['no base64', 'not base64!'],
  ['too short', Buffer.alloc(10).toString('base64')],
  ['a bare signature list', LISTS.db.toString('base64')],
  ['no keys', updateOf(Buffer.alloc(0))],
  ['a list that is longer than it', updateOf(LISTS.db.subarray(0, 40))],
  ['a length that leads beyond it', updateOf(LISTS.db).replace(/^.{24}/, (head) => `${head.slice(0, 20)}////`)],
  ['more than 64 KiB', updateOf(listOf('x'.repeat(70_000)))],
])('an update that is %s is refused with the step', (_, db) => {
  const schema = AGENT_STEPS['management.enroll_secure_boot_keys']?.args
  expect(schema?.safeParse(UPDATES).success).toBe(true)
  expect(schema?.safeParse({ ...UPDATES, db }).success).toBe(false)
  expect(schema?.safeParse({ db: UPDATES.db }).success).toBe(false)
})
