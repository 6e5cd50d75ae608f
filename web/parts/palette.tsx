/** Ctrl-K: leads to a page or a server by what is typed, or opens a request about the server that is shown. */
import { signal, useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import type { Act, Acts } from '../api.ts'
import { BASE, decoded, go, nodePath, path } from '../router.tsx'
import { board, findNode, me, nameOf } from '../state.ts'
import { ActDialog, useActs } from './acts.tsx'
import { pagesFor } from './pages.ts'

export const paletteOpen = signal(false)

const MAX_NODES = 20

interface Item {
  readonly kind: string
  readonly text: string
  readonly detail: string
  readonly choose: () => void
}

/** Every word must stand somewhere in it. */
const fits = (text: string, words: readonly string[]): boolean =>
  words.every((word) => text.toLowerCase().includes(word))

function nodeItems(words: readonly string[]): Item[] {
  const found: Item[] = []
  for (const node of board.value?.nodes ?? []) {
    if (found.length === MAX_NODES) break
    if (!fits(`${node.name ?? ''} ${node.uuid}`, words)) continue
    found.push({ kind: 'server', text: nameOf(node), detail: node.state, choose: () => go(nodePath(node.uuid)) })
  }
  return found
}

/** The server whose page is shown. */
function shownNode() {
  const [, first, second] = path.value.split('/')
  return first === 'nodes' && second !== undefined ? findNode(decoded(second)) : undefined
}

function pageItems(): Item[] {
  const node = shownNode()
  const pages = pagesFor(me.value).map(({ to, name }) => ({
    kind: 'page',
    text: name,
    detail: '',
    choose: () => go(to),
  }))
  if (!node || me.value?.role === 'reader') return pages
  const toConsole = () => location.assign(`${BASE}/console/${encodeURIComponent(node.uuid)}`)
  return [...pages, { kind: 'page', text: 'Serial console', detail: nameOf(node), choose: toConsole }]
}

export function Palette() {
  const asked = useSignal<{ act: Act; list: Acts } | null>(null)
  const close = () => void (paletteOpen.value = false)
  return (
    <>
      {paletteOpen.value && <Box onClose={close} onAct={(act, list) => (asked.value = { act, list })} />}
      {asked.value && <ActDialog {...asked.value} onClose={() => (asked.value = null)} />}
    </>
  )
}

interface BoxProps {
  readonly onClose: () => void
  readonly onAct: (act: Act, list: Acts) => void
}

function Box({ onClose, onAct }: BoxProps) {
  const box = useRef<HTMLDialogElement>(null)
  const text = useSignal('')
  const at = useSignal(0)
  const list = useActs(shownNode()?.uuid)
  useEffect(() => box.current?.showModal(), [])
  const words = text.value.toLowerCase().split(/\s+/).filter(Boolean)
  const verbs = (list?.acts ?? []).filter(({ refused }) => refused === null)
  const items: Item[] = [
    ...verbs.map((act) => ({
      kind: 'request',
      text: act.name,
      detail: list?.node ?? '',
      choose: () => list && onAct(act, list),
    })),
    ...pageItems(),
  ].filter((item) => fits(`${item.kind} ${item.text} ${item.detail}`, words))
  const found = [...items, ...nodeItems(words)]
  const chosen = Math.min(at.value, found.length - 1)
  const choose = (item: Item | undefined) => {
    if (!item) return
    box.current?.close()
    item.choose()
  }
  const onKey = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
    if (step === 0 && event.key !== 'Enter') return
    event.preventDefault()
    if (event.key === 'Enter') return choose(found[chosen])
    at.value = (chosen + step + found.length) % Math.max(1, found.length)
    document.querySelector(`#palette-${at.value}`)?.scrollIntoView({ block: 'nearest' })
  }
  return (
    <dialog ref={box} class="card palette" aria-label="Go to" onClose={onClose}>
      <input
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={found.length > 0 ? `palette-${chosen}` : undefined}
        aria-label="Page, server or request"
        placeholder="Page, server or request …"
        autocomplete="off"
        spellcheck={false}
        value={text.value}
        onInput={(event) => {
          text.value = event.currentTarget.value
          at.value = 0
        }}
        onKeyDown={onKey}
      />
      <ul id="palette-list" role="listbox" aria-label="Found">
        {found.map((item, i) => (
          <li
            key={`${item.kind} ${item.text} ${i}`}
            id={`palette-${i}`}
            role="option"
            aria-selected={i === chosen}
            onClick={() => choose(item)}
          >
            <small>{item.kind}</small> <b>{item.text}</b> <span class="muted">{item.detail}</span>
          </li>
        ))}
      </ul>
      {found.length === 0 && <p class="muted">Nothing has all of these words.</p>}
    </dialog>
  )
}

/** Ctrl-K, or Command-K. */
addEventListener('keydown', (event) => {
  if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey) || !me.value) return
  event.preventDefault()
  if (!document.querySelector('dialog[open]')) paletteOpen.value = true
})
