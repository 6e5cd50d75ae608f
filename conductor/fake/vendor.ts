/** The fake vendor interface: four methods that compare their argument with a word, as Ironic's own, and one that is a
 *  step too. */
import { Fault } from '../../kit/fault.ts'
import type { FakeHardware } from './state.ts'

interface VendorMethod {
  readonly description: string
  readonly async: boolean
  readonly require_exclusive_lock: boolean
  /** The value of `bar` that makes it true; null: it takes anything and answers nothing. */
  readonly word: string | null
}

export const VENDOR_METHODS: Readonly<Record<string, VendorMethod>> = {
  first_method: { description: 'tests whether bar is baz', async: true, require_exclusive_lock: true, word: 'baz' },
  second_method: {
    description: 'tests whether bar is kazoo',
    async: true,
    require_exclusive_lock: true,
    word: 'kazoo',
  },
  third_method_sync: {
    description: 'tests whether bar is meow, and answers at once',
    async: false,
    require_exclusive_lock: true,
    word: 'meow',
  },
  fourth_method_shared_lock: {
    description: 'tests whether bar is woof, also on a locked node',
    async: true,
    require_exclusive_lock: false,
    word: 'woof',
  },
  log_passthrough: { description: 'takes any arguments', async: true, require_exclusive_lock: true, word: null },
}

/** Keys of driver_info that it explains. */
export const VENDOR_PROPERTIES: Readonly<Record<string, string>> = {
  B1: 'an example of a value for the fake vendor interface; kept, and not used.',
  B2: 'another; kept, and not used.',
}

/** Throws `input.invalid` or `input.missing` in Ironic's words. */
export function vendorMethod(name: string, http: string, args: Readonly<Record<string, unknown>>): VendorMethod {
  const method = Object.hasOwn(VENDOR_METHODS, name) ? VENDOR_METHODS[name] : undefined
  if (!method)
    throw new Fault(
      'input.invalid',
      `No handler for method ${name.slice(0, 64)}; there are ${Object.keys(VENDOR_METHODS).join(', ')}`,
    )
  if (http !== 'POST') throw new Fault('input.invalid', `The method ${name} does not support HTTP ${http}`)
  if (method.word !== null && !args.bar)
    throw new Fault('input.missing', `Parameter 'bar' not passed to method '${name}'`)
  return method
}

export function callVendor(
  hardware: FakeHardware,
  name: string,
  args: Readonly<Record<string, unknown>>,
): { hardware: FakeHardware; result: boolean | null } {
  const word = VENDOR_METHODS[name]?.word ?? null
  const result = word === null ? null : args.bar === word
  const calls = (hardware.vendor[name]?.calls ?? 0) + 1
  return { hardware: { ...hardware, vendor: { ...hardware.vendor, [name]: { calls, result } } }, result }
}
