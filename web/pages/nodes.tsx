/** All servers as a table, with a filter. */
import { useSignal } from '@preact/signals'
import type { BoardNode } from '../api.ts'
import { duration } from '../format.ts'
import { elapsed, Progress, State } from '../parts/state.tsx'
import { Windowed } from '../parts/windowed.tsx'
import { Link, nodePath } from '../router.tsx'
import { board, isTroubled, nameOf, waitsFor } from '../state.ts'

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
  const all = board.value?.nodes
  if (!all) return <p class="muted">Reading the board …</p>
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean)
  const found = words.length === 0 ? all : all.filter((node) => matches(node, words))
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
      <Windowed
        label="Table of nodes"
        columns={['Name', 'Rack', 'State', 'For', 'Power', 'Waits for']}
        rows={found}
        row={(node) => <Row key={node.uuid} node={node} />}
        none="No node has all of these words."
      />
    </>
  )
}
