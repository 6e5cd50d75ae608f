/** What pages use of the browser, in one place: clock, timers, address bar, and what it remembers. */

export const nowMs = (): number => Date.now()
export const after = (ms: number, callback: () => void): (() => void) => {
  const timer = setTimeout(callback, ms)
  return () => clearTimeout(timer)
}
export const every = (ms: number, callback: () => void): (() => void) => {
  const timer = setInterval(callback, ms)
  return () => clearInterval(timer)
}

/** A browser may refuse to remember anything: then a choice lasts as long as the page. */
export function remembered(key: string): string | null {
  try {
    return localStorage.getItem(key)
  } catch {
    return null
  }
}
export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(key, value)
  } catch {
    // It lasts as long as the page.
  }
}

/** The secret of a read-only link in the address, which is taken out of it and out of the history. */
export function takeLink(): string | undefined {
  const found = /^#link=([\w-]+)$/.exec(location.hash)?.[1]
  if (found !== undefined) history.replaceState(null, '', location.pathname)
  return found
}
