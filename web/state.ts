/** What all pages share: who uses the console, the board, the mesh, the latest events, and how live all of it is. */
import { computed, signal } from '@preact/signals'
import type { Board, BoardNode, Me, WireEvent } from './api.ts'
import { nowMs, remember, remembered } from './browser.ts'
import type { ToldMesh } from './mesh-api.ts'

/** What is asked for again and again, or told. */
export interface Answer<T> {
  readonly value?: T
  /** When it came, by the clock of this browser. */
  readonly atMs: number
  /** Why there is no newer one. */
  readonly problem: string
}

/** Undefined: not asked yet. Null: nobody is logged in. */
export const me = signal<Me | null | undefined>(undefined)
/** Why nobody is logged in, where that is not just so. */
export const loginProblem = signal('')
export const board = signal<Board | undefined>(undefined)
/** The newest first. */
export const events = signal<readonly WireEvent[]>([])

/** The report of the mesh. `incidents`: how often each was told to have changed. */
export interface MeshNow extends Answer<ToldMesh> {
  readonly incidents: ReadonlyMap<string, number>
}
export const NO_MESH: MeshNow = { atMs: 0, problem: '', incidents: new Map() }
export const mesh = signal<MeshNow>(NO_MESH)

/** `since`: when the conductor was heard last, by the clock of this browser. */
export type Link = { readonly state: 'starting' | 'live' | 'lost'; readonly sinceMs: number; readonly why?: string }
export const link = signal<Link>({ state: 'starting', sinceMs: nowMs() })
export const heardMs = signal(nowMs())
/** How far the clock of the conductor is ahead of this browser's. */
export const aheadMs = signal(0)
/** Ticks once a second. */
export const tick = signal(nowMs())
export const serverNowMs = computed(() => tick.value + aheadMs.value)

export const MAX_EVENTS = 500

export const nodesById = computed(() => new Map((board.value?.nodes ?? []).map((node) => [node.uuid, node] as const)))
/** By UUID or by name, as in the API. */
export const findNode = (ident: string): BoardNode | undefined =>
  nodesById.value.get(ident) ?? board.value?.nodes.find(({ name }) => name === ident)
export const nameOf = (node: Pick<BoardNode, 'name' | 'uuid'>): string => node.name ?? node.uuid.slice(0, 8)

/** At rest, nothing goes on until somebody asks for something. */
export const waitsFor = ({ kind, maintenance, says }: BoardNode): string =>
  kind === 'stable' && !maintenance ? 'a request' : says

export const isTroubled = (node: BoardNode): boolean =>
  node.kind === 'failed' || node.fault !== null || node.unusual || node.health === 'Critical'

const THEMES = ['system', 'light', 'dark'] as const
export type Theme = (typeof THEMES)[number]
const known = remembered('rackward.theme')
export const theme = signal<Theme>(THEMES.find((one) => one === known) ?? 'system')

export function showTheme(): void {
  document.documentElement.dataset.theme = theme.value
}
export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] as Theme
  remember('rackward.theme', theme.value)
  showTheme()
}
