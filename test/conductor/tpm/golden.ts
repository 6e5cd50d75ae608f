/** A real boot, as its event log and a quote tell it, and what was served in it. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { QUOTED_PCRS } from '../../../conductor/api/tpm-wire.ts'
import type { LogEvent } from '../../../conductor/tpm/event-log.ts'
import type { Served } from '../../../conductor/tpm/served.ts'
import type { Proof, ProofWanted } from '../../../conductor/tpm/verify.ts'
import { isFault } from '../../../kit/fault.ts'
import { renderGrub, renderGrubStart } from '../../../pxe/grub.ts'
import { sha256 } from './swtpm.ts'

const golden = JSON.parse(readFileSync(new URL('../../golden/tpm/secure-boot.json', import.meta.url), 'utf8')) as {
  readonly log: string
  readonly ek: string
  readonly ak: string
  readonly quote: string
  readonly signature: string
  readonly nonceOf: string
  readonly served: Record<'shim' | 'grub' | 'kernelProgram' | 'kernel' | 'initrd', string>
  readonly args: string
  readonly url: string
  readonly label: string
}
const bytes = (text: string) => Buffer.from(text, 'base64')

export const LIMITS = { bytes: 512 * 1024, events: 4096 }
export const LOG = gunzipSync(bytes(golden.log))
export const SECRET = sha256('what the credential held')

export const PROOF: Proof = {
  ek: bytes(golden.ek),
  ak: bytes(golden.ak),
  activated: SECRET,
  quote: bytes(golden.quote),
  signature: bytes(golden.signature),
  log: LOG,
}

export const WANTED: ProofWanted = { secret: SECRET, nonce: sha256(golden.nonceOf), pcrs: QUOTED_PCRS, limits: LIMITS }

export const ARGS = golden.args.split(' ')

export const SERVED: Served = {
  shim: Buffer.from(golden.served.shim, 'hex'),
  grub: Buffer.from(golden.served.grub, 'hex'),
  uki: undefined,
  kernelProgram: Buffer.from(golden.served.kernelProgram, 'hex'),
  kernel: Buffer.from(golden.served.kernel, 'hex'),
  initrd: Buffer.from(golden.served.initrd, 'hex'),
  kernelPath: '/ramdisk/kernel',
  initrdPath: '/ramdisk/initrd',
  args: ({ mac, ip }) => (mac === '52:54:00:77:00:01' && ip === '10.77.0.100' ? ARGS : undefined),
  configs: ({ mac, waits }) => {
    const configs = [
      renderGrubStart(`${golden.url}/boot/${mac.replaceAll(':', '-')}/grub.cfg`),
      renderGrub(
        {
          kind: 'kernel',
          what: 'the deploy ramdisk',
          kernelUrl: `${golden.url}/ramdisk/kernel`,
          initrdUrl: `${golden.url}/ramdisk/initrd`,
          args: ARGS,
        },
        golden.label,
      ),
      ...waits.map((wait) => renderGrub({ kind: 'wait', ...wait }, golden.label)),
    ]
    return configs.map(sha256)
  },
}

/** The code that bytes are refused with. */
export const codeOf = (act: () => unknown): string => {
  try {
    act()
    return 'holds'
  } catch (error) {
    if (!isFault(error)) throw error
    return error.code
  }
}

/** An event as the firmware would write it, with the digest of `measured` or of its data. */
export const event = (about: {
  pcr: number
  type: number
  data: string | Buffer
  measured?: string | Buffer
}): LogEvent => {
  const data = Buffer.from(about.data)
  return { pcr: about.pcr, type: about.type, data, digest: sha256(about.measured ?? data) }
}

/** A log with these events, with SHA-256 alone. */
export function logOf(events: readonly LogEvent[]): Buffer {
  const le = (...values: readonly number[]) => {
    const out = Buffer.alloc(values.length * 4)
    values.forEach((value, i) => out.writeUInt32LE(value >>> 0, i * 4))
    return out
  }
  const spec = Buffer.concat([
    Buffer.from('Spec ID Event03\0'),
    Buffer.alloc(8),
    le(1),
    Buffer.from('0b00200000', 'hex'),
  ])
  return Buffer.concat([
    le(0, 3),
    Buffer.alloc(20),
    le(spec.length),
    spec,
    ...events.flatMap(({ pcr, type, digest, data }) => [
      le(pcr, type, 1),
      Buffer.from('0b00', 'hex'),
      digest,
      le(data.length),
      data,
    ]),
  ])
}
