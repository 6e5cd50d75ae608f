/** The beginning of an incident. Pure: the decision to store one. */
import { alertOf, type Decision } from '../cluster/decision.ts'
import type { Change } from '../cluster/store.ts'
import { incidentKey, type Incident } from '../protocol/records.ts'
import type { Verdict } from '../verdict/assess.ts'

const WHY_CHARACTERS = 1_900

export interface OpenAbout {
  readonly cause: Incident['cause']
  /** The boot that died; null: it was never heard. */
  readonly bootId: string | null
  readonly epoch: number
  /** Index of the newest change of the store that is known. */
  readonly storeIndex: number
  /** Wall clock, for people alone. */
  readonly at: string
  /** Says what it would have done, and does nothing. */
  readonly dryRun: boolean
  /** The likeliest cause, as far as it is known by now. */
  readonly causes?: Incident['causes']
  /** The policy and the hold as they must still be. */
  readonly permission: NonNullable<Decision<never>['guards']>
  /** Stored with it, or not at all. */
  readonly also?: readonly Change[]
}

/** Stored by the permission of the policy and the host's hold as they stand; nothing is done before it is stored. */
export function openIncident(
  verdict: Pick<Verdict, 'host' | 'says' | 'conditions'>,
  about: OpenAbout,
): Decision<never> {
  const { host } = verdict
  if (about.dryRun && about.cause !== 'operator')
    return { alerts: [alertOf(host, 'dry run', `dry run: would fence ${host}: ${verdict.says}`)] }

  const incident = incidentFrom(verdict, about)
  return {
    changes: [{ key: incidentKey(incident.id), value: incident, index: 0 }, ...(about.also ?? [])],
    guards: about.permission,
    alertsOnceStored: [alertOf(host, 'confirmed', `${host} is confirmed dead: ${verdict.says}`)],
  }
}

function incidentFrom(
  { host, says, conditions }: Pick<Verdict, 'host' | 'says' | 'conditions'>,
  { cause, bootId, epoch, storeIndex, at, causes }: OpenAbout,
): Incident {
  const why = cause === 'silent' ? conditions.map((one) => `${one.id}: ${one.says}`).join('\n') : says
  return {
    // One incident for a host at a moment: two leaders cannot make the same name.
    id: `${host}.${epoch}.${storeIndex}`,
    host,
    bootId,
    state: 'confirmed',
    epoch,
    cause,
    why: why.slice(0, WHY_CHARACTERS),
    offs: 0,
    proof: null,
    attested: null,
    listed: false,
    returnedBoot: null,
    lines: [{ at, says: `confirmed: ${says}`.slice(0, WHY_CHARACTERS) }],
    ...lastHeard(conditions, at),
    ...observersAt(conditions),
    ...(causes === undefined ? {} : { causes }),
  }
}

/** Who heard the host on which plane at that moment. */
function observersAt(conditions: Verdict['conditions']): Pick<Incident, 'observers'> {
  const { observers = [] } = conditions.find(({ id }) => id === 'C2') ?? {}
  return observers.length === 0
    ? {}
    : {
        observers: observers.map(({ plane, silent, answered, mute }) => ({
          plane,
          silent: [...silent],
          answered: [...answered],
          mute: [...mute],
        })),
      }
}

/** When each arbiter heard the host before `at`. */
function lastHeard(conditions: Verdict['conditions'], at: string): Pick<Incident, 'lastHeard'> {
  const ages = Object.entries(conditions.find(({ id }) => id === 'C1')?.heardAgesMs ?? {})
  const heard = ages.flatMap(([name, ageMs]) => {
    const when = new Date(Date.parse(at) - ageMs)
    // An age that another arbiter stated may be no time at all: that must not keep the incident from being opened.
    return Number.isNaN(when.getTime()) ? [] : [[name, when.toISOString()]]
  })
  return heard.length === 0 ? {} : { lastHeard: Object.fromEntries(heard) as Record<string, string> }
}
