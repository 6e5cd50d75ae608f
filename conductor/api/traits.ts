/** What a trait is: a standard one, by its exact name, or a custom one (Ironic's schema of a trait). */
import * as z from 'zod'
import { OS_TRAITS_VERSION, STANDARD_TRAITS } from './standard-traits.ts'

const CUSTOM = /^CUSTOM_[A-Z0-9_]+$/

export const isTrait = (name: string): boolean => CUSTOM.test(name) || STANDARD_TRAITS.has(name)

/** Ironic's words, then which list was looked at. */
export function notATrait(name: string): string {
  const shown = `'${name.slice(0, 100)}'`
  return (
    `${shown} is not valid under any of the given schemas. Possible root cause: ${shown} does not match ` +
    `'^CUSTOM_[A-Z0-9_]+$', and os-traits ${OS_TRAITS_VERSION} has no such trait`
  )
}

export const Trait = z
  .string()
  .max(255)
  .refine(isTrait, { error: ({ input }) => notATrait(String(input)) })
