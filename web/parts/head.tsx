/** The head of every page: where one is, who one is, and whether what is shown is live. */
import { useEffect, useRef } from 'preact/hooks'
import { logOut } from '../api.ts'
import { clockTime, duration } from '../format.ts'
import { stop } from '../live.ts'
import { Link, path } from '../router.tsx'
import { headPagesFor } from './pages.ts'
import { paletteOpen } from './palette.tsx'
import { board, heardMs, isTroubled, link, me, nextTheme, theme, tick } from '../state.ts'

/** The conductor shows that it lives every 15 s. */
const BEHIND_S = 20

function Live() {
  const behindS = (tick.value - heardMs.value) / 1000
  const { state, sinceMs, why } = link.value
  if (state === 'lost')
    return (
      <span class="live lost" role="status" title={why}>
        <i /> no connection since {clockTime(sinceMs)}, trying
      </span>
    )
  if (state === 'starting')
    return (
      <span class="live" role="status">
        <i /> connecting
      </span>
    )
  return (
    <span class={behindS > BEHIND_S ? 'live behind' : 'live ok'} role="status">
      <i /> {behindS > BEHIND_S ? `${duration(behindS)} behind` : 'live'}
    </span>
  )
}

async function leave(): Promise<void> {
  const csrf = me.value?.csrf
  if (csrf) await logOut(csrf).catch(() => undefined)
  stop()
}

export function Head() {
  const nav = useRef<HTMLElement>(null)
  const troubled = (board.value?.nodes ?? []).filter(isTroubled).length
  const user = me.value
  const here = path.value
  // On a narrow window, some of them are beyond its edge.
  useEffect(() => {
    nav.current?.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  }, [here])
  return (
    <header class="head">
      <a class="skip" href="#content">
        Skip to content
      </a>
      <Link to="/" class="brand">
        <svg viewBox="0 0 20 20" aria-hidden="true">
          <rect x="3" y="2" width="14" height="4" rx="1" />
          <rect x="3" y="8" width="14" height="4" rx="1" class="lit" />
          <rect x="3" y="14" width="14" height="4" rx="1" />
        </svg>
        Rackward
      </Link>
      <nav aria-label="Pages" ref={nav}>
        {headPagesFor(user).map(({ to, name }) => (
          <Link to={to} key={to} current={to === '/' ? here === '/' : here.startsWith(to)}>
            {name}
          </Link>
        ))}
      </nav>
      <span class="grow" />
      {troubled > 0 && (
        <Link to="/" class="trouble" label={`${troubled} need${troubled === 1 ? 's' : ''} attention`}>
          ▲ {troubled} <span>need{troubled === 1 ? 's' : ''} attention</span>
        </Link>
      )}
      <Live />
      <button type="button" class="quiet search" onClick={() => (paletteOpen.value = true)}>
        Go to <kbd>Ctrl K</kbd>
      </button>
      <button type="button" class="quiet" onClick={nextTheme} aria-label={`Theme: ${theme.value}; change`}>
        {{ system: '◐', light: '☀', dark: '☾' }[theme.value]}
      </button>
      {user && (
        <span class="who">
          <span title={user.project === null ? `on ${user.conductor}` : `project ${user.project}`}>
            {user.user} <small>{user.read_only ? 'read only' : user.role}</small>
          </span>
          {user.needs_login && (
            <button type="button" class="quiet" onClick={() => void leave()}>
              Log out
            </button>
          )}
        </span>
      )}
    </header>
  )
}
