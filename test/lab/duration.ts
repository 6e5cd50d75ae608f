/** How long something took on this machine when it last got through, kept beside built things; and how long a rack of
 *  the lab takes. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeWhole } from '../../kit/files.ts'
import type { LabArgs } from './args.ts'

/** What decides how long a run takes. */
type Kind = Pick<LabArgs, 'nodes' | 'firmware' | 'bmc' | 'boot' | 'secureBoot' | 'tpm' | 'ha' | 'conductors'> & {
  readonly accel: 'kvm' | 'tcg'
}

/** Minutes of three servers, and of each further one, as measured on two cores. */
const USUAL_MINUTES = { kvm: { first: 2, more: 0.2 }, tcg: { first: 4, more: 1.2 } } as const
const HA_MINUTES = 4

const fileIn = (cacheDir: string) => join(cacheDir, 'durations.json')

async function known(cacheDir: string): Promise<Record<string, number>> {
  try {
    const all = JSON.parse(await readFile(fileIn(cacheDir), 'utf8')) as Record<string, unknown>
    return Object.fromEntries(Object.entries(all).filter((one): one is [string, number] => typeof one[1] === 'number'))
  } catch {
    return {}
  }
}

export const lastSeconds = async (cacheDir: string, what: string): Promise<number | undefined> =>
  (await known(cacheDir))[what]

export async function remember(cacheDir: string, what: string, seconds: number): Promise<void> {
  const all = { ...(await known(cacheDir)), [what]: Math.round(seconds) }
  // Only a help for next time.
  await writeWhole(fileIn(cacheDir), `${JSON.stringify(all, null, 2)}\n`, 0o644).catch(() => undefined)
}

export const labKey = (kind: Kind): string =>
  [
    'lab',
    kind.accel,
    kind.nodes,
    kind.firmware,
    kind.bmc,
    kind.boot,
    kind.secureBoot,
    kind.ha,
    ...(kind.tpm ? ['tpm'] : []),
    ...(kind.conductors > 1 ? [`conductors ${kind.conductors}`] : []),
  ].join(' ')

const PREPARE = 'lab prepare'
const PREPARE_MINUTES = 5
/** Less is no building, but looking for what was built. */
const BUILT_SECONDS = 20

/** One sentence for before the ramdisk and the image are looked for. */
export async function expectedBuild(cacheDir: string): Promise<string> {
  const seconds = await lastSeconds(cacheDir, PREPARE)
  return seconds === undefined
    ? `the first run builds a deploy ramdisk and a Debian image, and keeps them in ${cacheDir}: about ${PREPARE_MINUTES} minutes on two idle cores`
    : `building the ramdisk and the image took ${minutesText(seconds)} here; they are built again only when something of them changed`
}

export const rememberBuild = (cacheDir: string, seconds: number): Promise<void> =>
  seconds < BUILT_SECONDS ? Promise.resolve() : remember(cacheDir, PREPARE, seconds)

/** One sentence for the start of a run. */
export async function expectation(cacheDir: string, kind: Kind): Promise<string> {
  const seconds = await lastSeconds(cacheDir, labKey(kind))
  if (seconds !== undefined) return `the last such run on this machine took ${minutesText(seconds)}`
  const { first, more } = USUAL_MINUTES[kind.accel]
  const minutes = first + more * Math.max(0, kind.nodes - 3) + (kind.ha ? HA_MINUTES : 0)
  return `this takes about ${Math.round(minutes)} minutes on two idle cores${kind.accel === 'tcg' ? ' in software emulation' : ''}; the next run will say how long it took here`
}

export const minutesText = (seconds: number): string =>
  seconds < 90
    ? `${Math.round(seconds)} s`
    : `${Math.floor(Math.round(seconds) / 60)} min ${String(Math.round(seconds) % 60).padStart(2, '0')} s`
