/** Addresses of pages: what the address bar says, and links that change it without loading anything. */
import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'

export const BASE = '/ui'
const pathNow = () => decodeURI(location.pathname).slice(BASE.length).replace(/\/+$/, '') || '/'
export const path = signal(pathNow())

addEventListener('popstate', () => (path.value = pathNow()))

export function go(to: string): void {
  history.pushState(null, '', BASE + to)
  path.value = pathNow()
  scrollTo(0, 0)
  document.querySelector<HTMLElement>('main')?.focus({ preventScroll: true })
}

export const nodePath = (uuid: string): string => `/nodes/${encodeURIComponent(uuid)}`

interface LinkProps {
  readonly to: string
  readonly class?: string
  readonly current?: boolean
  readonly title?: string
  readonly children: ComponentChildren
}

export const Link = ({ to, class: className, current, title, children }: LinkProps) => (
  <a
    href={BASE + to}
    class={className}
    title={title}
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
