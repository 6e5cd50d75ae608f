/** Addresses of pages: what the address bar says, and links that change it without loading anything. */
import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'

export const BASE = '/ui'
/** Percent-encoded, so that a slash in a name is none of the path. */
const pathNow = () => location.pathname.slice(BASE.length).replace(/\/+$/, '') || '/'
export const path = signal(pathNow())
/** How often somebody went to an address, also to another query of the same page. */
export const moves = signal(0)

function arrive(): void {
  path.value = pathNow()
  moves.value += 1
}
addEventListener('popstate', arrive)

export function go(to: string): void {
  history.pushState(null, '', BASE + to)
  arrive()
  scrollTo(0, 0)
  document.querySelector<HTMLElement>('main')?.focus({ preventScroll: true })
}

/** What nobody encoded stands for itself: people type addresses. */
export function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

export const nodePath = (uuid: string): string => `/nodes/${encodeURIComponent(uuid)}`
export const hostAddress = (host: string): string => `/mesh/${encodeURIComponent(host)}`
export const rolloutAddress = (id: string): string => `/rollouts/${encodeURIComponent(id)}`
export const incidentAddress = (id: string): string => `/incidents/${encodeURIComponent(id)}`

interface LinkProps {
  readonly to: string
  readonly class?: string
  readonly current?: boolean
  readonly title?: string
  /** For who does not see it, where it shows less than it says. */
  readonly label?: string
  readonly children: ComponentChildren
}

export const Link = ({ to, class: className, current, title, label, children }: LinkProps) => (
  <a
    href={BASE + to}
    class={className}
    title={title ?? label}
    aria-label={label}
    aria-current={current ? 'page' : undefined}
    onClick={(event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return
      event.preventDefault()
      go(to)
    }}
  >
    {children}
  </a>
)
