/** One table of arrows per machine: find an arrow, check the table, draw it. */

export interface Arrow<State extends string, Event extends string> {
  readonly from: State
  readonly on: Event
  readonly to: State
  /** One sentence that says why this may happen. */
  readonly because: string
}

export function findArrow<A extends Arrow<string, string>>(arrows: readonly A[], from: string, on: string): A | undefined {
  return arrows.find((arrow) => arrow.from === from && arrow.on === on)
}

/** What is wrong with a table: ambiguous arrows, states that nobody reaches or leaves. Empty when nothing is. */
export function tableFlaws(arrows: readonly Arrow<string, string>[], states: readonly string[], first: string): string[] {
  const seen = new Set<string>()
  const flaws: string[] = []
  for (const { from, on } of arrows) {
    const key = `${from} --${on}-->`
    if (seen.has(key)) flaws.push(`ambiguous: ${key}`)
    seen.add(key)
  }
  for (const state of states) {
    if (state !== first && !arrows.some((arrow) => arrow.to === state)) flaws.push(`nobody reaches ${state}`)
    if (!arrows.some((arrow) => arrow.from === state)) flaws.push(`nobody leaves ${state}`)
  }
  return flaws
}

/** The table as a Mermaid state diagram, for the documents. */
export function drawTable(arrows: readonly Arrow<string, string>[]): string {
  const id = (state: string) => state.replace(/[ -]/g, '_')
  const lines = arrows.map((arrow) => `  ${id(arrow.from)} --> ${id(arrow.to)}: ${arrow.on}`)
  return ['stateDiagram-v2', ...lines].join('\n')
}
