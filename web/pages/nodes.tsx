/** All servers as a table, with a filter. Above some hundred rows, those alone are drawn that can be seen. */
import { useSignal } from '@preact/signals'
import { useRef } from 'preact/hooks'
import type { BoardNode } from '../api.ts'
import { duration } from '../format.ts'
import { elapsed, Progress, State } from '../parts/state.tsx'
import { Link, nodePath } from '../router.tsx'
import { board, isTroubled, nameOf, waitsFor } from '../state.ts'

const ROW_PX = 40
const WINDOWED_ABOVE = 500
const BEYOND = 15

/** Every word must stand somewhere in the row. */
function matches(node: BoardNode, words: readonly string[]): boolean {
  const text = [node.name, node.uuid, node.rack, node.state, node.power, node.says, node.fault, node.health]
    .concat(node.maintenance ? ['maintenance'] : [], isTroubled(node) ? ['trouble'] : [])
    .join(' ')
    .toLowerCase()
  return words.every((word) => text.includes(word))
}

const Row = ({ node }: { readonly node: BoardNode }) => (
  <tr>
    <th scope="row">
      <Link to={nodePath(node.uuid)}>{nameOf(node)}</Link>
    </th>
    <td class="place">{node.rack === null ? '–' : `${node.rack} ${node.u ?? ''}`}</td>
    <td>
      <State node={node} />
    </td>
    <td class="num">{duration(elapsed(node))}</td>
    <td class="power">{node.power?.replace('power ', '') ?? '–'}</td>
    <td class="says">
      <Progress node={node} />
      <span title={node.says}>{node.error ?? (waitsFor(node) === 'a request' ? '' : node.says)}</span>
    </td>
  </tr>
)

export function Nodes() {
  const filter = useSignal('')
  const top = useSignal(0)
  const box = useRef<HTMLDivElement>(null)
  const all = board.value?.nodes
  if (!all) return <p class="muted">Reading the board …</p>
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean)
  const found = words.length === 0 ? all : all.filter((node) => matches(node, words))
  const windowed = found.length > WINDOWED_ABOVE
  const first = windowed ? Math.max(0, Math.floor(top.value / ROW_PX) - BEYOND) : 0
  const last = windowed ? first + Math.ceil((box.current?.clientHeight ?? 800) / ROW_PX) + 2 * BEYOND : found.length
  const space = (rows: number) => rows > 0 && <tr aria-hidden="true" style={{ height: `${rows * ROW_PX}px` }} />
  return (
    <>
      <div class="bar">
        <h1>Nodes</h1>
        <input
          id="filter"
          type="search"
          placeholder="Filter: name, rack, state, trouble …"
          aria-label="Filter"
          value={filter.value}
          onInput={(event) => (filter.value = event.currentTarget.value)}
        />
        <span class="muted" role="status">
          {found.length === all.length ? `${all.length} nodes` : `${found.length} of ${all.length} nodes`}
        </span>
      </div>
      <div
        class="table card"
        ref={box}
        tabIndex={0}
        role="region"
        aria-label="Table of nodes"
        onScroll={(event) => (top.value = event.currentTarget.scrollTop)}
      >
        <table aria-rowcount={found.length}>
          <thead>
            <tr>
              {['Name', 'Rack', 'State', 'For', 'Power', 'Waits for'].map((name) => (
                <th scope="col" key={name}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {space(first)}
            {found.slice(first, last).map((node) => (
              <Row key={node.uuid} node={node} />
            ))}
            {space(found.length - last)}
          </tbody>
        </table>
        {found.length === 0 && <p class="muted none">No node has all of these words.</p>}
      </div>
    </>
  )
}
