/** Proofs of boots: a real one holds, and each thing that may be wrong with one has its name. */
import { generateKeyPairSync, sign } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Fault } from '../../../kit/fault.ts'
import { authenticodeDigest } from '../../../conductor/tpm/authenticode.ts'
import { EVENT, parseEventLog, type LogEvent } from '../../../conductor/tpm/event-log.ts'
import { fingerprintOf } from '../../../conductor/tpm/keys.ts'
import { parseQuote } from '../../../conductor/tpm/quote.ts'
import { digestOfPcrs, replay } from '../../../conductor/tpm/replay.ts'
import { compareServed } from '../../../conductor/tpm/served.ts'
import { checkProof, checkServed, secureBootOf } from '../../../conductor/tpm/verify.ts'
import { ARGS, codeOf, event, LIMITS, LOG, logOf, PROOF, SERVED, WANTED } from './golden.ts'
import { sha256 } from './swtpm.ts'

const events = parseEventLog(LOG, LIMITS)
const changed = (bytes: Buffer, at: number): Buffer => {
  const out = Buffer.from(bytes)
  out[at] = (out[at] ?? 0) ^ 1
  return out
}

test('a boot through the signed loaders is proven from its log, its quote and what was served alone', () => {
  const measured = checkProof(PROOF, WANTED)
  expect(measured.secureBoot).toBe(true)
  expect(measured.firmware['7']).toBe('75677db6f14082d3bfec4d14bdd75c8d72612ef6914ca99cd5a5997b7a21309d')
  expect(checkServed(measured, SERVED)).toEqual({ reach: 'whole', by: 'grub' })
  expect(fingerprintOf(PROOF.ek)).toMatch(/^[0-9a-f]{64}$/)
})

test('PCRs are replayed as tpm2_eventlog does', () => {
  const valueOf = replay(events)
  expect([8, 9, 14, 11].map((pcr) => valueOf(pcr).toString('hex').slice(0, 16))).toEqual([
    '990e8c4feae0c83a',
    '7b2f47e84a62be61',
    '1dd2c3c78e629ad7',
    '0000000000000000',
  ])
  const locality = {
    pcr: 0,
    type: EVENT.noAction,
    digest: Buffer.alloc(32),
    data: Buffer.from('StartupLocality\0\x03'),
  }
  expect(replay([locality])(0).at(-1)).toBe(3)
})

test('each proof that does not hold has the name of what is wrong', () => {
  const with_ = (more: Partial<typeof PROOF>) => codeOf(() => checkProof({ ...PROOF, ...more }, WANTED))
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const raw = sign('sha256', PROOF.quote, { key: other.privateKey, dsaEncoding: 'ieee-p1363' })
  const half = (at: number) => Buffer.concat([Buffer.from([0, 32]), raw.subarray(at, at + 32)])
  const forged = Buffer.concat([Buffer.from('0018000b', 'hex'), half(0), half(32)])
  const found = {
    'another secret than the credential held': with_({ activated: sha256('guess') }),
    'an attestation key that also decrypts': with_({ ak: changed(PROOF.ak, 5) }),
    'an attestation key that may leave the TPM': with_({ ak: changed(PROOF.ak, 7).fill(0, 7, 8) }),
    'an endorsement key of another size': with_({ ek: PROOF.ek.subarray(0, 100) }),
    'a signature of another key': with_({ signature: forged }),
    'a quote that was changed': with_({ quote: changed(PROOF.quote, PROOF.quote.length - 1) }),
    'a quote for another nonce': codeOf(() => checkProof(PROOF, { ...WANTED, nonce: sha256('of another boot') })),
    'fewer PCRs than were asked for': codeOf(() => checkProof(PROOF, { ...WANTED, pcrs: [...WANTED.pcrs, 15] })),
    'no log': with_({ log: Buffer.alloc(0) }),
    'a log that was cut in an event': with_({ log: LOG.subarray(0, LOG.length - 10) }),
    'a log without its last event': with_({ log: logOf(events.slice(0, -1)) }),
    'a log in which two events changed places': with_({
      log: logOf([...events.slice(0, -2), ...events.slice(-2).reverse()]),
    }),
    'a log that is too long': codeOf(() => checkProof(PROOF, { ...WANTED, limits: { bytes: 1000, events: 10 } })),
    'a log with too many events': codeOf(() => checkProof(PROOF, { ...WANTED, limits: { ...LIMITS, events: 10 } })),
  }
  expect(found).toEqual({
    'another secret than the credential held': 'tpm.quote',
    'an attestation key that also decrypts': 'tpm.quote',
    'an attestation key that may leave the TPM': 'tpm.quote',
    'an endorsement key of another size': 'tpm.quote',
    'a signature of another key': 'tpm.quote',
    'a quote that was changed': 'tpm.quote',
    'a quote for another nonce': 'tpm.nonce',
    'fewer PCRs than were asked for': 'tpm.quote',
    'no log': 'tpm.log',
    'a log that was cut in an event': 'tpm.log',
    'a log without its last event': 'tpm.replay',
    'a log in which two events changed places': 'tpm.replay',
    'a log that is too long': 'tpm.log',
    'a log with too many events': 'tpm.log',
  })
})

test('a log with SHA-256 alone says the same', () => {
  expect(checkServed(checkProof({ ...PROOF, log: logOf(events) }, WANTED), SERVED)).toEqual({
    reach: 'whole',
    by: 'grub',
  })
})

const ipl = (pcr: number, data: string, measured?: string) =>
  event({ pcr, type: EVENT.ipl, data: `${data}\0`, measured: measured ?? data.slice(data.indexOf(' ') + 1) })
const program = (what: string) => event({ pcr: 4, type: EVENT.bootApplication, data: 'path', measured: what })
const servedCode = (all: readonly LogEvent[], served = SERVED) => codeOf(() => compareServed(all, served))
const swap = (find: RegExp, by: (one: LogEvent) => LogEvent) =>
  events.map((one) => (find.test(one.data.toString('latin1')) ? by(one) : one))
const CMDLINE = `(http,10.77.0.1:8080)/ramdisk/kernel ${ARGS.join(' ')}`

test('what was not served in this boot is named, wherever it stands', () => {
  const evil = sha256('evil')
  const found = {
    'another initrd': servedCode(events, { ...SERVED, initrd: evil }),
    'another kernel': servedCode(events, { ...SERVED, kernel: evil, kernelProgram: evil }),
    'another shim': servedCode(events, { ...SERVED, shim: evil }),
    'one more program': servedCode([...events, program('grub of somebody else')]),
    'one more file': servedCode([...events, ipl(9, '(tftp,10.77.0.1)/grub/grub.cfg', 'evil')]),
    'one more command': servedCode([...events, ipl(8, 'grub_cmd: insmod memrw')]),
    'the TPM module taken out': servedCode([...events, ipl(8, 'grub_cmd: rmmod tpm')]),
    'one more command line': servedCode([...events, ipl(8, `kernel_cmdline: ${CMDLINE} init=/bin/sh`)]),
    'a kernel from elsewhere': servedCode([...events, ipl(8, 'grub_cmd: linux (hd0,gpt2)/vmlinuz')]),
    'another token': servedCode(
      swap(/^kernel_cmdline/, () => ipl(8, `kernel_cmdline: ${CMDLINE.replace('token=f', 'token=e')}`)),
    ),
    'a text that is not the one that was measured': servedCode(
      swap(/^grub_cmd: boot/, (one) => ({ ...one, data: Buffer.from('grub_cmd: true\0') })),
    ),
    'a command line of the stub that is another': servedCode(swap(/LoadOptions/, (one) => ({ ...one, digest: evil }))),
    'no kernel at all': servedCode(events.filter(({ pcr }) => pcr !== 8)),
    'no initrd': servedCode(events.filter(({ digest }) => !digest.equals(SERVED.initrd))),
  }
  const { 'a text that is not the one that was measured': text, ...others } = found
  expect(text).toBe('tpm.log')
  expect(Object.entries(others).filter(([, code]) => code !== 'tpm.served')).toEqual([])
})

test('types of events are not signed: what was measured under another type is found all the same', () => {
  const SEPARATOR = 0x00000004
  const ACTION = 0x80000007
  const typed = (type: number, one: LogEvent): LogEvent => ({ ...one, type })
  const evil = program('a loader of somebody else')
  const found = [
    servedCode([...events, typed(ACTION, evil)]),
    servedCode([...events, typed(SEPARATOR, evil)]),
    servedCode([...events, typed(ACTION, { ...evil, data: Buffer.from('Calling EFI Application from Boot Option') })]),
    servedCode([...events, typed(SEPARATOR, ipl(9, '(http,10.77.0.1:8080)/ramdisk/initrd', 'evil'))]),
    servedCode(events.map((one) => (one.type === 6 ? { ...typed(SEPARATOR, one), digest: sha256('evil') } : one))),
    servedCode([program('uki'), event({ pcr: 12, type: SEPARATOR, data: 'init=/bin/sh' })], {
      ...SERVED,
      uki: sha256('uki'),
    }),
    // Never extended, so they are no proof that the files were read.
    servedCode(
      events.map((one) => (one.digest.equals(SERVED.kernel) && one.pcr === 9 ? typed(EVENT.noAction, one) : one)),
    ),
  ]
  expect(found).toEqual(found.map(() => 'tpm.served'))
  // Notes and marks of the firmware hold under any type.
  expect(servedCode(events.map((one) => (one.type === ACTION ? typed(SEPARATOR, one) : one)))).toBe('holds')
})

test('kernel and initrd are loaded from one place, by no other words than were served', () => {
  const initrd = (words: string) =>
    servedCode(swap(/^grub_cmd: initrd/, () => ipl(8, `grub_cmd: initrd ${words}/ramdisk/initrd`)))
  expect(initrd('(http,10.77.0.1:8080)')).toBe('holds')
  expect(initrd('(http,10.77.0.1:8080)/ramdisk/kernel (http,10.77.0.1:8080)')).toBe('tpm.served')
  expect(initrd('newc:init:(http,10.77.0.1:8080)')).toBe('tpm.served')
  expect(initrd('(http,192.0.2.1)')).toBe('tpm.served')
  const kernel = (device: string) =>
    servedCode(
      swap(/^(grub_cmd: linux|kernel_cmdline:) /, ({ data }) =>
        ipl(8, data.toString('latin1').replace('(http,10.77.0.1:8080)', device).replace(/\0$/, '')),
      ).map((one) =>
        one.data.includes('LoadOptions')
          ? {
              ...one,
              digest: sha256(Buffer.from(`BOOT_IMAGE=${device}/ramdisk/kernel ${ARGS.join(' ')}`, 'utf16le')),
            }
          : one.data.includes('grub_cmd: initrd')
            ? ipl(8, `grub_cmd: initrd ${device}/ramdisk/initrd`)
            : one,
      ),
    )
  expect(kernel('(http,10.77.0.1:8080)')).toBe('holds')
  expect(kernel('(http,x init=/bin/sh )')).toBe('tpm.served')
  expect(kernel('(http,x" init=/bin/sh ")')).toBe('tpm.served')
})

test('Secure Boot is what the firmware said before its separator, not what a system said after it', () => {
  const variable = (on: number) => {
    const name = Buffer.from('SecureBoot', 'utf16le')
    return event({ pcr: 7, type: 0x80000001, data: Buffer.concat([Buffer.alloc(32), name, Buffer.from([on])]) })
  }
  const separator = event({ pcr: 7, type: 0x00000004, data: Buffer.alloc(4) })
  expect([
    secureBootOf([variable(0), separator, variable(1)]),
    secureBootOf([{ ...variable(0), data: Buffer.from('?') }, separator, variable(1)]),
    secureBootOf([{ ...variable(0), data: variable(1).data }, separator]),
    secureBootOf([variable(1), separator]),
  ]).toEqual([false, null, null, true])
})

test('a node that waited for a place is proven too, with the configurations that it was sent', () => {
  const turn = 'place 3, about 40 s'
  const config = `echo "Rackward: server-1 waits for a place: ${turn}"\nsleep 10\nset rackward_waits=yes\n`
  const waited = [
    ipl(8, `grub_cmd: echo Rackward: server-1 waits for a place: ${turn}`),
    ipl(8, 'grub_cmd: sleep 10'),
    ipl(8, 'grub_cmd: set rackward_waits=yes'),
    ipl(9, '(http,10.77.0.1:8080)/boot/52-54-00-77-00-01/grub.cfg', config),
  ]
  expect(servedCode([...waited, ...events])).toBe('holds')
  expect(servedCode([...waited.slice(0, 3), ipl(9, 'grub.cfg', `${config}reboot\n`), ...events])).toBe('tpm.served')
})

test('iPXE and BIOS measure nothing of what was served, and this is said', () => {
  expect(compareServed([program('ipxe'), program('kernel')], SERVED)).toMatchObject({ reach: 'partial', why: /iPXE/ })
  expect(compareServed([], SERVED)).toMatchObject({ reach: 'partial', why: /BIOS/ })
})

test('the signed ramdisk of the site is one program, and nothing is added to it', () => {
  const served = { ...SERVED, uki: sha256('uki') }
  const inner: LogEvent = { ...program(''), digest: served.kernelProgram as Buffer }
  expect(compareServed([program('uki'), inner], served)).toEqual({ reach: 'whole', by: 'uki' })
  expect(servedCode([program('uki'), program('a shell')], served)).toBe('tpm.served')
  expect(servedCode([program('uki'), event({ pcr: 12, type: EVENT.ipl, data: 'init=/bin/sh' })], served)).toBe(
    'tpm.served',
  )
})

test('a log that is cut at any byte is refused, or leads to other values', () => {
  const short = logOf(events)
  const quote = parseQuote(PROOF.quote)
  const codes = Array.from({ length: short.length }, (_, at) =>
    codeOf(() => {
      const valueOf = replay(parseEventLog(short.subarray(0, at), LIMITS))
      if (!digestOfPcrs(valueOf, quote.pcrs).equals(quote.digest)) throw new Fault('tpm.replay', 'as checkProof does')
    }),
  )
  expect([...new Set(codes)].sort()).toEqual(['tpm.log', 'tpm.replay'])
  // Only between two events: everywhere else the log itself shows that it was cut.
  expect(codes.filter((code) => code === 'tpm.replay')).toHaveLength(events.length)
})

/** A program of one section, as small as one can be. */
function smallProgram({
  code,
  checksum = 0,
  signature = '',
}: {
  code: string
  checksum?: number
  signature?: string
}): Buffer {
  const headers = Buffer.alloc(512)
  headers.write('MZ')
  headers.writeUInt32LE(64, 0x3c)
  headers.write('PE\0\0', 64)
  headers.writeUInt16LE(1, 70)
  headers.writeUInt16LE(240, 84)
  headers.writeUInt16LE(0x20b, 88)
  headers.writeUInt32LE(512, 88 + 60)
  headers.writeUInt32LE(checksum, 88 + 64)
  headers.writeUInt32LE(signature.length === 0 ? 0 : 1024, 88 + 144)
  headers.writeUInt32LE(signature.length, 88 + 148)
  headers.writeUInt32LE(512, 328 + 16)
  headers.writeUInt32LE(512, 328 + 20)
  return Buffer.concat([headers, Buffer.alloc(512, code), Buffer.from(signature)])
}

test('the digest of an EFI program is the one that firmware measures: its checksum and signatures do not count', () => {
  const plain = authenticodeDigest(smallProgram({ code: 'a' }))?.toString('hex')
  // sha256 of the file without the four bytes of the checksum and the eight of the directory of signatures.
  const file = smallProgram({ code: 'a' })
  const counted = Buffer.concat([file.subarray(0, 152), file.subarray(156, 232), file.subarray(240)])
  expect(plain).toBe(sha256(counted).toString('hex'))
  expect(authenticodeDigest(smallProgram({ code: 'a', checksum: 7, signature: 'signed!!' }))?.toString('hex')).toBe(
    plain,
  )
  expect(authenticodeDigest(smallProgram({ code: 'b' }))?.toString('hex')).not.toBe(plain)
})

test('what is no EFI program has no digest', () => {
  expect(authenticodeDigest(Buffer.alloc(0))).toBeUndefined()
  expect(authenticodeDigest(Buffer.from('MZ'))).toBeUndefined()
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 512 }), (bytes) => {
      const digest = authenticodeDigest(Buffer.concat([Buffer.from('MZ'), bytes]))
      return digest === undefined || digest.length === 32
    }),
  )
})
