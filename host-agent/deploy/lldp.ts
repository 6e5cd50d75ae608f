/** Listens for what switches announce by LLDP. Each card gets a macvtap, a device file from which the kernel hands out
 *  whole Ethernet frames: neither a capture program nor a native module is needed, and the card goes on with its own
 *  traffic. */
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import type { LldpField } from '../../conductor/api/agent-wire.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Run } from '../../kit/run.ts'
import { LLDP_ADDRESS, lldpFields } from './lldp-frame.ts'

export interface LldpParts {
  readonly run: Run
  readonly clock: Clock
  /** Cards by name, with a link. */
  readonly cards: readonly string[]
  /** Switches announce themselves every 30 s, as a rule. */
  readonly waitMs: number
}

interface Ear {
  readonly card: string
  readonly tap: string
  readonly file: FileHandle
}

const IP_TIMEOUT_MS = 10_000
const POLL_MS = 200
const FRAME_BYTES = 2048
/** struct virtio_net_hdr, which a macvtap puts before each frame. */
const TAP_HEADER_BYTES = 10
/** Frames that are looked at in one round: who floods the address of LLDP keeps nothing from going on. */
const FRAMES_PER_ROUND = 64

/** By card: the fields of the first announcement. Cards that heard none are not there. Never throws: without it there
 *  is an inventory all the same. */
export async function listenForLldp({ run, clock, cards, waitMs }: LldpParts): Promise<Map<string, LldpField[]>> {
  const heard = new Map<string, LldpField[]>()
  if (waitMs <= 0) return heard
  const endMs = clock.now() + waitMs
  const ears: Ear[] = []
  try {
    for (const [i, card] of cards.entries()) {
      const ear = await openEar(run, card, `lldp${i}`).catch(() => undefined)
      if (ear) ears.push(ear)
    }
    while (heard.size < ears.length && clock.now() < endMs) {
      for (const { card, file } of ears) {
        const fields = heard.has(card) ? undefined : await firstAnnouncement(file)
        if (fields) heard.set(card, fields)
      }
      if (heard.size < ears.length) await clock.sleep(POLL_MS)
    }
  } finally {
    for (const { tap, file } of ears) {
      await file.close().catch(() => undefined)
      await run(['ip', 'link', 'delete', tap], { timeoutMs: IP_TIMEOUT_MS }).catch(() => undefined)
    }
  }
  return heard
}

async function openEar(run: Run, card: string, tap: string): Promise<Ear> {
  const ip = (...args: string[]) => run(['ip', ...args], { timeoutMs: IP_TIMEOUT_MS })
  await ip('link', 'delete', tap)
  await ip('link', 'add', 'link', card, 'name', tap, 'type', 'macvtap', 'mode', 'private')
  await ip('maddress', 'add', LLDP_ADDRESS, 'dev', tap)
  await ip('link', 'set', tap, 'up')
  const index = /^(\d+):/.exec((await ip('-o', 'link', 'show', 'dev', tap)).stdout)?.[1]
  if (index === undefined) throw new Error(`${tap} is not there`)
  return { card, tap, file: await open(`/dev/tap${index}`, constants.O_RDONLY | constants.O_NONBLOCK) }
}

async function firstAnnouncement(file: FileHandle): Promise<LldpField[] | undefined> {
  const frame = Buffer.alloc(FRAME_BYTES)
  for (let i = 0; i < FRAMES_PER_ROUND; i += 1) {
    // EAGAIN: nothing more has come.
    const got = await file.read(frame, 0, FRAME_BYTES, null).catch(() => undefined)
    if (!got || got.bytesRead === 0) return undefined
    const fields = lldpFields(frame.subarray(TAP_HEADER_BYTES, got.bytesRead))
    if (fields) return fields
  }
  return undefined
}
