/** Every rack as it stands, and what needs attention. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Board, BoardNode } from '../api.ts'
import { duration, usuallyNow } from '../format.ts'
import { elapsed, leftText, Progress, Sign, toneOf } from '../parts/state.tsx'
import { Link, nodePath } from '../router.tsx'
import { board, isTroubled, nameOf } from '../state.ts'

type Rack = Board['racks'][number]

/** Free units in a row that are drawn as one. */
const GAP = 4

/** Of more servers than this, racks are drawn when they come into view. */
const ALL_DRAWN = 500

const unitsOf = ({ u, height }: BoardNode) => Array.from({ length: height }, (_, i) => (u ?? 1) + i)

/** Two servers that claim one unit would hide each other: the first one has it. */
function placedOf(nodes: readonly BoardNode[]): BoardNode[] {
  const taken = new Set<number>()
  return nodes.filter((node) => {
    const units = unitsOf(node)
    if (node.u === null || units.some((unit) => taken.has(unit))) return false
    for (const unit of units) taken.add(unit)
    return true
  })
}

interface Gap {
  readonly from: number
  readonly to: number
}

/** The rows of a rack from the top down: a unit each, or many free ones in one. */
function rowsOf(rack: Rack, placed: readonly BoardNode[]): readonly (number | Gap)[] {
  const taken = new Set(placed.flatMap(unitsOf))
  const rows: (number | Gap)[] = []
  for (let unit = rack.height; unit >= 1; unit -= 1) {
    let low = unit
    while (low >= 1 && !taken.has(low)) low -= 1
    if (unit - low >= GAP) rows.push({ from: unit, to: low + 1 })
    else rows.push(...Array.from({ length: unit - low }, (_, i) => unit - i), ...(low >= 1 ? [low] : []))
    unit = unit - low >= GAP ? low + 1 : low
  }
  return rows
}

/** Draws what it holds once it is near the part of the page that can be seen. */
function Seen({ always, children }: { readonly always: boolean; readonly children: ComponentChildren }) {
  const box = useRef<HTMLDivElement>(null)
  const isNear = useSignal(false)
  useEffect(() => {
    if (always || !box.current) return
    const watch = new IntersectionObserver(([entry]) => (isNear.value = entry?.isIntersecting ?? false), {
      rootMargin: '600px',
    })
    watch.observe(box.current)
    return () => watch.disconnect()
  }, [always])
  return (
    <div ref={box} class={always || isNear.value ? '' : 'rack-later'}>
      {(always || isNear.value) && children}
    </div>
  )
}

/** From the top down; servers whose unit is not known, or another's too, stand below the others. */
function Elevation({ rack, nodes }: { readonly rack: Rack; readonly nodes: readonly BoardNode[] }) {
  const placed = placedOf(nodes)
  const loose = nodes.filter((node) => !placed.includes(node))
  const rows = rowsOf(rack, placed)
  const rowOf = ({ u, height }: BoardNode) => rows.indexOf((u ?? 1) + height - 1) + 1
  return (
    <section class="rack card" aria-label={`Rack ${rack.name}`}>
      <h2>
        {rack.name} <small>{nodes.length}</small>
      </h2>
      <div class="units">
        {rows.map((row, i) =>
          typeof row === 'number' ? (
            <span class="unit" key={row} style={{ gridRow: String(i + 1) }} aria-hidden="true">
              {row}
            </span>
          ) : (
            <span class="free" key={row.from} style={{ gridRow: String(i + 1) }}>
              {row.from} to {row.to} free
            </span>
          ),
        )}
        {placed.map((node) => (
          <Slot key={node.uuid} node={node} row={`${rowOf(node)} / span ${node.height}`} />
        ))}
      </div>
      {loose.length > 0 && (
        <div class="loose">
          {loose.map((node) => (
            <Slot key={node.uuid} node={node} />
          ))}
        </div>
      )}
    </section>
  )
}

const Slot = ({ node, row }: { readonly node: BoardNode; readonly row?: string }) => (
  <div class={`slot tone-${toneOf(node)}`} style={row === undefined ? {} : { gridRow: row }}>
    <Link to={nodePath(node.uuid)} title={`${node.state}: ${node.says}`}>
      <Sign node={node} />
      <b>{nameOf(node)}</b>
      <span class="does">{node.state}</span>
      <Progress node={node} />
    </Link>
  </div>
)

function why(node: BoardNode): string {
  if (node.kind === 'failed' || node.fault !== null) return node.error ?? node.fault ?? node.says
  if (node.unusual)
    return `${node.state}: ${node.usual ? usuallyNow(node.usual, elapsed(node)) : duration(elapsed(node))}`
  if (node.health === 'Critical') return 'its BMC reports the health of its hardware as Critical'
  return node.says
}

function Needs({ nodes, macs }: { readonly nodes: readonly BoardNode[]; readonly macs: Board['unknown_macs'] }) {
  return (
    <aside class="needs card" aria-label="Needs attention">
      <h2>
        Needs attention <small>{nodes.length}</small>
      </h2>
      {nodes.length === 0 && <p class="muted">Nothing: no server failed, none is slower than usual.</p>}
      <ul>
        {nodes.map((node) => (
          <li key={node.uuid}>
            <Link to={nodePath(node.uuid)}>
              <Sign node={node} /> <b>{nameOf(node)}</b> <span class={`tone-${toneOf(node)}`}>{node.state}</span>
            </Link>
            <p>{why(node)}</p>
          </li>
        ))}
      </ul>
      {macs.length > 0 && (
        <>
          <h3>Unknown cards</h3>
          <ul>
            {macs.slice(0, 8).map(({ mac, count, controller }) => (
              <li key={mac}>
                <code>{mac}</code> {controller && `(${controller}) `}asked {count} {count === 1 ? 'time' : 'times'}
              </li>
            ))}
          </ul>
        </>
      )}
    </aside>
  )
}

/** Until the last of them is done; null: it is not known of all. */
function longestOf(nodes: readonly BoardNode[]): number | null {
  const lefts = nodes.filter((node) => toneOf(node) === 'busy').map(({ left, queue }) => (queue ? null : left))
  return lefts.includes(null) ? null : Math.max(0, ...lefts.map(Number))
}

export function Racks() {
  const shown = board.value
  if (!shown) return <p class="muted">Reading the board …</p>
  if (shown.nodes.length === 0)
    return (
      <div class="empty card">
        <h1>No servers yet</h1>
        <p>
          Enrol the first one: <code>rackward node enroll NAME --driver ipmi …</code>
        </p>
      </div>
    )
  const byRack = Map.groupBy(shown.nodes, ({ rack }) => rack)
  const loose = byRack.get(null) ?? []
  const queued = shown.nodes.filter(({ queue }) => queue !== null).length
  const count = (tone: string) => shown.nodes.filter((node) => toneOf(node) === tone).length
  return (
    <>
      <h1 class="sr">Racks</h1>
      <p class="sum">
        <span>
          <b>{shown.nodes.length}</b> servers
        </span>
        <span class="tone-good">● {count('good')} active</span>
        <span class="tone-busy">
          ◐ {count('busy')} at work{leftText(longestOf(shown.nodes))}
        </span>
        {queued > 0 && (
          <Link to="/queue">
            {queued} of them {queued === 1 ? 'waits for its turn' : 'wait for their turn'}
          </Link>
        )}
        <span class="tone-idle">○ {count('idle')} at rest</span>
        <span class="tone-warn">▲ {count('warn')} to watch</span>
        <span class="tone-bad">✖ {count('bad')} failed</span>
      </p>
      <div class="board">
        <div class="racks">
          {shown.racks.map((rack) => (
            <Seen key={rack.name} always={shown.nodes.length <= ALL_DRAWN}>
              <Elevation rack={rack} nodes={byRack.get(rack.name) ?? []} />
            </Seen>
          ))}
          {loose.length > 0 && (
            <section class="rack card" aria-label="Servers without a place">
              <h2>
                Without a place <small>{loose.length}</small>
              </h2>
              <p class="muted hint">
                Set <code>extra.rackward</code> to {'{"rack": "r1", "u": 7}'}
              </p>
              <div class="loose">
                {loose.slice(0, 200).map((node) => (
                  <Slot key={node.uuid} node={node} />
                ))}
              </div>
              {loose.length > 200 && <Link to="/nodes">All {loose.length} in the table</Link>}
            </section>
          )}
        </div>
        <Needs nodes={shown.nodes.filter(isTroubled).slice(0, 100)} macs={shown.unknown_macs} />
      </div>
    </>
  )
}
