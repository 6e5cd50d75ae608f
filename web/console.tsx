/** The serial console of a server, in a document of its own: its terminal writes styles, which no other page
 *  allows. */
import { signal } from '@preact/signals'
import { FitAddon } from '@xterm/addon-fit'
import { Terminal } from '@xterm/xterm'
import { render } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { ApiError, getJson, type Me, type WireEvent } from './api.ts'
import { open, type Line } from './console-line.ts'
import { clockTime } from './format.ts'

const ident = decodeURIComponent(location.pathname.split('/')[3] ?? '')
const SCROLLBACK_LINES = 10_000

interface Shown {
  readonly tone: '' | 'tone-good' | 'tone-warn' | 'tone-bad'
  readonly text: string
  /** It can be asked for again. */
  readonly over: boolean
}
const shown = signal<Shown>({ tone: '', text: 'Connecting …', over: false })
const name = signal(ident)
const holder = signal('')
let line: Line | undefined

/** OSC 8 links lead where the machine wants, and OSC 52 writes to the clipboard: neither is for a machine to ask. */
const REFUSED_OSC = [8, 52]

function newTerminal(): { terminal: Terminal; fit: FitAddon } {
  const terminal = new Terminal({
    scrollback: SCROLLBACK_LINES,
    fontSize: 14,
    fontFamily: "ui-monospace, 'DejaVu Sans Mono', monospace",
    theme: { background: '#0e1116', foreground: '#e4e9ef' },
  })
  for (const code of REFUSED_OSC) terminal.parser.registerOscHandler(code, () => true)
  const fit = new FitAddon()
  terminal.loadAddon(fit)
  terminal.attachCustomKeyEventHandler((event) => {
    if (!(event.ctrlKey && event.altKey && event.key === '.')) return true
    line?.close()
    return false
  })
  terminal.onData((text) => line?.send(new TextEncoder().encode(text)))
  terminal.onBinary((text) => line?.send(Uint8Array.from(text, (character) => character.charCodeAt(0))))
  return { terminal, fit }
}

/** Who opened it last and has not left it, by the record. */
async function lookForHolder(): Promise<void> {
  const path = `/rackward/v1/events?newest=true&limit=50&kinds=console&node=${encodeURIComponent(ident)}`
  const { events } = await getJson<{ events: WireEvent[] }>(path)
  const open = new Map<string, string>()
  for (const { at, detail } of events) {
    if (detail.what === 'opened') open.set(String(detail.by), at)
    else open.delete(String(detail.by))
  }
  const last = [...open].at(-1)
  holder.value = last ? `${last[0]} has it since ${clockTime(last[1])}` : ''
}

async function connect(terminal: Terminal, steal: boolean): Promise<void> {
  shown.value = { tone: '', text: steal ? 'Taking it over …' : 'Connecting …', over: false }
  try {
    const me = await getJson<Me>('/rackward/v1/me')
    if (me.role === 'reader')
      return void (shown.value = { tone: 'tone-bad', text: 'A console needs an operator.', over: false })
    const node = await getJson<{ name: string | null; uuid: string }>(
      `/v1/nodes/${encodeURIComponent(ident)}?fields=name,uuid`,
    )
    name.value = node.name ?? node.uuid
    document.title = `${name.value} · console · Rackward`
    await lookForHolder()
  } catch (error) {
    const out = error instanceof ApiError && error.status === 401
    const text = out ? 'You are not logged in.' : (error as Error).message
    return void (shown.value = { tone: 'tone-bad', text, over: true })
  }
  line?.close()
  const own = open(ident, steal, {
    opened() {
      shown.value = { tone: 'tone-good', text: 'You have it.', over: false }
      holder.value = ''
      terminal.focus()
    },
    said: (bytes) => terminal.write(bytes),
    closed(text) {
      // The one before, which this one came after.
      if (line !== own) return
      shown.value = { tone: 'tone-bad', text, over: true }
      terminal.write(`\r\n\x1b[0;7m ${text} \x1b[0m\r\n`)
      lookForHolder().catch(() => undefined)
    },
  })
  line = own
}

function Console() {
  const box = useRef<HTMLDivElement>(null)
  const made = useRef<Terminal>(undefined)
  useEffect(() => {
    const { terminal, fit } = newTerminal()
    made.current = terminal
    terminal.open(box.current as HTMLElement)
    fit.fit()
    const watch = new ResizeObserver(() => fit.fit())
    watch.observe(box.current as HTMLElement)
    void connect(terminal, false)
    return () => watch.disconnect()
  }, [])
  const again = (steal: boolean) => () => made.current && void connect(made.current, steal)
  return (
    <>
      <header class="bar">
        <a href={`/ui/nodes/${encodeURIComponent(ident)}`}>← {name.value}</a>
        <h1>Serial console</h1>
        <span role="status" class={shown.value.tone}>
          {shown.value.text} {shown.value.over && holder.value}
        </span>
        <span class="grow" />
        {shown.value.over && (
          <>
            <button type="button" onClick={again(false)}>
              Connect again
            </button>
            <button type="button" onClick={again(true)} title="ends the session of another first: a BMC has one">
              Take it over
            </button>
          </>
        )}
        {!shown.value.over && (
          <button type="button" title="Ctrl-Alt-." onClick={() => line?.close()}>
            Leave
          </button>
        )}
      </header>
      <main class="place" ref={box} aria-label="Terminal" />
    </>
  )
}

render(<Console />, document.querySelector('#app') as HTMLElement)
