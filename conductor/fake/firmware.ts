/** The fake firmware: components with versions; an update takes its version from the name of the image. */
import { Fault } from '../../kit/fault.ts'
import type { FirmwareComponent } from './state.ts'

/** `.../bios-2.4.1.bin` is 2.4.1; an image without one in its name counts up. */
const versionOf = (url: string, now: string): string => {
  const named = /(\d+\.\d+(?:\.\d+)*)/.exec(url.split('/').at(-1) ?? '')?.[1]
  const [major = '1', minor = '0'] = now.split('.')
  return named ?? `${major}.${Number(minor) + 1}.0`
}

/** Throws `input.invalid` with the component that is not there; nothing is updated then. */
export function updateFirmware(
  now: readonly FirmwareComponent[],
  wanted: readonly { component: string; url: string }[],
  nowMs: number,
): FirmwareComponent[] {
  const urls = new Map(wanted.map(({ component, url }) => [component, url]))
  const missing = wanted.find(({ component }) => !now.some((one) => one.component === component))
  if (missing) {
    const there = now.map(({ component }) => component).join(', ')
    throw new Fault(
      'input.invalid',
      `settings: there is no firmware component ${JSON.stringify(missing.component.slice(0, 64))}; there are ${there}`,
    )
  }
  return now.map((one) => {
    const url = urls.get(one.component)
    if (url === undefined) return one
    const version = versionOf(url, one.currentVersion)
    return { ...one, currentVersion: version, lastVersionFlashed: version, updatedAtMs: nowMs }
  })
}
