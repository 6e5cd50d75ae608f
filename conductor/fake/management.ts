/** The fake management interface: indicator lamps and virtual media. */
import { Fault } from '../../kit/fault.ts'
import type { FakeHardware } from './state.ts'

export const INDICATORS: Readonly<
  Record<string, { readonly component: string; readonly readonly: boolean; readonly states: readonly string[] }>
> = {
  'led-0@chassis': { component: 'chassis', readonly: true, states: ['off', 'on'] },
  'led@system': { component: 'system', readonly: false, states: ['blinking', 'off', 'on'] },
}

/** What each kind of virtual device is called in answers. */
export const MEDIA: Readonly<Record<string, readonly string[]>> = {
  cdrom: ['CD', 'DVD'],
  disk: ['USBStick'],
  floppy: ['Floppy'],
}

/** Throws `object.missing`, or `input.invalid` for a name that is not `name@component`. */
export function indicatorOf(hardware: FakeHardware, name: string): string {
  if (!name.includes('@'))
    throw new Fault(
      'input.invalid',
      `Malformed indicator name ${JSON.stringify(name.slice(0, 64))}: it is name@component`,
    )
  if (!Object.hasOwn(INDICATORS, name))
    throw new Fault('object.missing', `there is no indicator ${JSON.stringify(name.slice(0, 64))}`)
  return hardware.indicators[name] ?? 'off'
}

export function setIndicator(hardware: FakeHardware, name: string, state: string): FakeHardware {
  indicatorOf(hardware, name)
  const { readonly, states } = INDICATORS[name] as (typeof INDICATORS)[string]
  if (readonly) throw new Fault('input.invalid', `the indicator ${name} can only be read`)
  if (!states.includes(state))
    throw new Fault('input.invalid', `state: the indicator ${name} can be ${states.join(', ')}`)
  return { ...hardware, indicators: { ...hardware.indicators, [name]: state } }
}

/** One image in each device: it must be ejected before another. */
export function insertMedia(hardware: FakeHardware, device: string, url: string): FakeHardware {
  const inside = hardware.media[device]
  if (inside !== undefined)
    throw new Fault('object.conflict', `device_type: an image is in the ${device} already: eject it first`)
  return { ...hardware, media: { ...hardware.media, [device]: url } }
}

export const ejectMedia = (hardware: FakeHardware, devices: readonly string[]): FakeHardware => ({
  ...hardware,
  media: Object.fromEntries(Object.entries(hardware.media).filter(([device]) => !devices.includes(device))),
})
