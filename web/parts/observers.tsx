/** The table of who hears a host on which plane. */
import type { PlaneObservers } from '../mesh-api.ts'
import { observerRows, type Hearing, type ObserverRow } from '../observer-grid.ts'
import { hostAddress, Link } from '../router.tsx'
import { Windowed } from './windowed.tsx'

const SIGNS: Readonly<Record<Hearing, readonly [tone: string, word: string]>> = {
  hears: ['good', '● hears it'],
  silent: ['bad', '✖ silent'],
  mute: ['muted', '? no word that counts'],
}

function Cell({ hearing }: { readonly hearing: Hearing | undefined }) {
  if (hearing === undefined) return <span class="muted">–</span>
  const [tone, word] = SIGNS[hearing]
  return <span class={tone === 'muted' ? 'muted' : `tone-${tone}`}>{word}</span>
}

/** One row for each observer, one column for each plane. */
export function ObserverTable({ planes }: { readonly planes: readonly PlaneObservers[] }) {
  const heardBy = ({ answered, silent, mute }: PlaneObservers): string =>
    `heard by ${answered.length} of ${answered.length + silent.length + mute.length}`
  const row = ({ observer, by }: ObserverRow) => (
    <tr key={observer}>
      <th scope="row">
        <Link to={hostAddress(observer)}>{observer}</Link>
      </th>
      {planes.map(({ plane }) => (
        <td key={plane}>
          <Cell hearing={by[plane]} />
        </td>
      ))}
    </tr>
  )
  return (
    <Windowed
      label="Observers and planes"
      class="observers"
      columns={['Observer', ...planes.map((one) => `${one.plane}: ${heardBy(one)}`)]}
      rows={observerRows(planes)}
      row={row}
      none="Nobody observes it."
    />
  )
}

export const Observers = ({ planes }: { readonly planes: readonly PlaneObservers[] | undefined }) => (
  <section>
    <h2>Who hears it, by plane</h2>
    {planes ? <ObserverTable planes={planes} /> : <p class="muted">This arbiter does not report it.</p>}
  </section>
)
