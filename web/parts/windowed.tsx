/** A table of which, above some hundred rows, those alone are drawn that can be seen. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useRef } from 'preact/hooks'

const ROW_PX = 40
const WINDOWED_ABOVE = 500
const BEYOND = 15

interface WindowedProps<T> {
  readonly label: string
  readonly columns: readonly string[]
  readonly rows: readonly T[]
  readonly row: (one: T) => ComponentChildren
  readonly none: string
  readonly class?: string
}

export function Windowed<T>({ label, columns, rows, row, none, class: more = '' }: WindowedProps<T>) {
  const top = useSignal(0)
  const box = useRef<HTMLDivElement>(null)
  const windowed = rows.length > WINDOWED_ABOVE
  const drawn = windowed ? Math.ceil((box.current?.clientHeight ?? 800) / ROW_PX) + 2 * BEYOND : rows.length
  // There may be fewer rows than when it was scrolled: the end of what is left is shown then.
  const first = windowed ? Math.max(0, Math.min(Math.floor(top.value / ROW_PX) - BEYOND, rows.length - drawn)) : 0
  const last = first + drawn
  const space = (count: number) => count > 0 && <tr aria-hidden="true" style={{ height: `${count * ROW_PX}px` }} />
  return (
    <div
      class={`table card ${more}`}
      ref={box}
      tabIndex={0}
      role="region"
      aria-label={label}
      onScroll={(event) => (top.value = event.currentTarget.scrollTop)}
    >
      <table aria-rowcount={rows.length}>
        <thead>
          <tr>
            {columns.map((name) => (
              <th scope="col" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {space(first)}
          {rows.slice(first, last).map(row)}
          {space(rows.length - last)}
        </tbody>
      </table>
      {rows.length === 0 && <p class="muted none">{none}</p>}
    </div>
  )
}
