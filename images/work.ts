/** What the parts of one import share. */
import type { Clock } from '../kit/clock.ts'
import type { AddressGuard } from './address-guard.ts'
import type { Claim, ImportBudget } from './budget.ts'
import type { OpenParts } from './open-url.ts'

export interface Work {
  readonly scratch: string
  readonly claim: Claim
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly budget: ImportBudget
  readonly guard: AddressGuard | undefined
  readonly noRedirects?: boolean | undefined
  readonly copies?: number | undefined
  readonly headers?: OpenParts['headers']
  readonly ca?: string | undefined
}
