/** One table of arrows per machine: find an arrow, check the table, draw it. */

export interface Arrow<State extends string, Event extends string> {
  readonly from: State
  readonly on: Event
  readonly to: State
  /** One sentence that says why this may happen. */
  readonly because: string
}

/** A machine: where its records begin, where they end, and how they get from one to the other. */
export interface Table<State extends string, Event extends string> {
  readonly arrows: readonly Arrow<State, Event>[]
  /** States that a new record may have. */
  readonly first: readonly State[]
  /** States that nothing leads out of. */
  readonly final: readonly State[]
}

/** The record after `on`. The only way from one state to another: throws where the table has no arrow, which is a
 *  mistake of who calls. */
export function move<State extends string, Event extends string, R extends { readonly state: State }>(
  table: Table<State, Event>,
  record: R,
  { on, patch }: { on: Event; patch: Omit<Partial<R>, 'state'> },
): R {
  const arrow = findArrow(table.arrows, record.state, on)
  if (!arrow) throw new Error(`no arrow from "${record.state}" on "${on}"`)
  return { ...record, ...patch, state: arrow.to }
}

/** Whether a stored change is one that the table knows; `from` undefined: the record is new. */
export const mayBecome = <State extends string>(
  table: Table<State, string>,
  from: State | undefined,
  to: State,
): boolean =>
  from === undefined
    ? table.first.includes(to)
    : from === to || table.arrows.some((arrow) => arrow.from === from && arrow.to === to)

export function findArrow<A extends Arrow<string, string>>(
  arrows: readonly A[],
  from: string,
  on: string,
): A | undefined {
  return arrows.find((arrow) => arrow.from === from && arrow.on === on)
}

/** What is wrong with a table: ambiguous arrows, states that nobody reaches, or that are left although they are the
 *  end, or the other way round. Empty when nothing is. */
export function tableFlaws(
  arrows: readonly Arrow<string, string>[],
  states: readonly string[],
  { first, final = [] }: { first: readonly string[]; final?: readonly string[] },
): string[] {
  const seen = new Set<string>()
  const flaws: string[] = []
  for (const { from, on } of arrows) {
    const key = `${from} --${on}-->`
    if (seen.has(key)) flaws.push(`ambiguous: ${key}`)
    seen.add(key)
  }
  for (const state of states) {
    if (!first.includes(state) && !arrows.some((arrow) => arrow.to === state)) flaws.push(`nobody reaches ${state}`)
    if (arrows.some((arrow) => arrow.from === state) === final.includes(state))
      flaws.push(final.includes(state) ? `${state} is the end, and is left` : `nobody leaves ${state}`)
  }
  return flaws
}

/** The table as a Mermaid state diagram, for the documents. */
export function drawTable(
  arrows: readonly Arrow<string, string>[],
  ends: { first: readonly string[]; final: readonly string[] } = { first: [], final: [] },
): string {
  const id = (state: string) => state.replace(/[ -]/g, '_')
  const lines = arrows.map((arrow) => `  ${id(arrow.from)} --> ${id(arrow.to)}: ${arrow.on}`)
  const begins = ends.first.map((state) => `  [*] --> ${id(state)}`)
  return ['stateDiagram-v2', ...begins, ...lines, ...ends.final.map((state) => `  ${id(state)} --> [*]`)].join('\n')
}
