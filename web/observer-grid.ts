/** Who hears a host on which plane, as rows of a table: one for each observer, those that find it silent first.
 *  Pure. */
import type { PlaneObservers } from './mesh-api.ts'

export type Hearing = 'hears' | 'silent' | 'mute'
export interface ObserverRow {
  readonly observer: string
  /** By plane; absent: it does not observe the host there. */
  readonly by: Readonly<Partial<Record<string, Hearing>>>
}

const silences = ({ by }: ObserverRow): number => Object.values(by).filter((one) => one === 'silent').length

export function observerRows(observers: readonly PlaneObservers[]): ObserverRow[] {
  const rows = new Map<string, Partial<Record<string, Hearing>>>()
  const note = (plane: string, names: readonly string[], hearing: Hearing): void => {
    for (const name of names) rows.set(name, { ...rows.get(name), [plane]: hearing })
  }
  for (const { plane, answered, silent, mute } of observers) {
    note(plane, answered, 'hears')
    note(plane, silent, 'silent')
    note(plane, mute, 'mute')
  }
  return [...rows]
    .map(([observer, by]) => ({ observer, by }))
    .sort((a, b) => silences(b) - silences(a) || (a.observer < b.observer ? -1 : 1))
}
