/** What of a server is otherwise than the last step of Rackward left it: BIOS settings and versions of firmware.
 *  Pure. */

export interface Drift {
  readonly what: 'bios' | 'firmware'
  /** Of the setting or the component. */
  readonly name: string
  readonly applied: string
  readonly now: string | null
  /** When it was first read like this; null: that is not known. */
  readonly sinceMs: number | null
}

interface AppliedSetting {
  readonly name: string
  readonly value: string | null
  readonly applied?: string | null
  readonly updatedAtMs: number | null
}

interface AppliedComponent {
  readonly component: string
  readonly currentVersion: string | null
  readonly lastVersionFlashed: string | null
  readonly updatedAtMs: number | null
}

export const biosDrift = (settings: readonly AppliedSetting[]): Drift[] =>
  settings.flatMap(({ name, value: now, applied = null, updatedAtMs: sinceMs }) =>
    applied === null || applied === now ? [] : [{ what: 'bios' as const, name, applied, now, sinceMs }],
  )

/** A version that is not shown at the moment is none that has changed. */
export const firmwareDrift = (components: readonly AppliedComponent[]): Drift[] =>
  components.flatMap(({ component: name, currentVersion: now, lastVersionFlashed: applied, updatedAtMs: sinceMs }) =>
    applied === null || now === null || applied === now
      ? []
      : [{ what: 'firmware' as const, name, applied, now, sinceMs }],
  )

/** What was not so at the reading before. */
export const newDrift = (before: readonly Drift[], after: readonly Drift[]): Drift[] =>
  after.filter(
    (one) => !before.some(({ name, applied, now }) => name === one.name && applied === one.applied && now === one.now),
  )

/** "BIOS setting ProcCores is 8; 16 was applied". */
export const driftText = ({ what, name, applied, now }: Pick<Drift, 'what' | 'name' | 'applied' | 'now'>): string =>
  `${what === 'bios' ? 'BIOS setting' : 'firmware of'} ${name} is ${now ?? 'not shown'}; ${applied} was applied`
