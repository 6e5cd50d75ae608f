/** The console: shows the page that the address names, to whoever is logged in. */
import { render } from 'preact'
import { begin, startClock } from './live.ts'
import { Arbiters } from './pages/arbiters.tsx'
import { Events } from './pages/events.tsx'
import { HooksPage } from './pages/hooks.tsx'
import { Host } from './pages/host.tsx'
import { Images } from './pages/images.tsx'
import { Incident } from './pages/incident.tsx'
import { Incidents } from './pages/incidents.tsx'
import { Links } from './pages/links.tsx'
import { Login } from './pages/login.tsx'
import { Mesh } from './pages/mesh.tsx'
import { Node } from './pages/node.tsx'
import { Nodes } from './pages/nodes.tsx'
import { QueuePage } from './pages/queue.tsx'
import { Racks } from './pages/racks.tsx'
import { Rollout, Rollouts } from './pages/rollouts.tsx'
import { Doubt } from './parts/doubt.tsx'
import { Head } from './parts/head.tsx'
import { Palette } from './parts/palette.tsx'
import { decoded, Link, moves, path } from './router.tsx'
import { link, me, showTheme } from './state.ts'

function Page() {
  const [, first = '', second] = path.value.split('/')
  document.title = `${second ?? (first || 'racks')} · Rackward`
  if (first === '') return <Racks />
  if (first === 'nodes') return second === undefined ? <Nodes /> : <Node ident={decoded(second)} key={second} />
  if (first === 'mesh') return second === undefined ? <Mesh /> : <Host name={decoded(second)} key={second} />
  if (first === 'arbiters') return <Arbiters />
  if (first === 'incidents')
    return second === undefined ? <Incidents /> : <Incident id={decoded(second)} key={second} />
  if (first === 'events') return <Events key={moves.value} />
  if (first === 'hooks') return <HooksPage />
  if (first === 'links') return <Links />
  if (first === 'rollouts') return second === undefined ? <Rollouts /> : <Rollout id={decoded(second)} key={second} />
  if (first === 'queue') return <QueuePage />
  if (first === 'images') return <Images />
  return (
    <div class="empty card">
      <h1>There is no such page</h1>
      <Link to="/">To the racks</Link>
    </div>
  )
}

function App() {
  if (me.value === undefined)
    return (
      <p class="wait">{link.value.state === 'lost' ? 'The conductor does not answer. Trying …' : 'Connecting …'}</p>
    )
  if (me.value === null) return <Login />
  return (
    <>
      <Head />
      <main id="content" tabIndex={-1}>
        <Doubt />
        <Page />
      </main>
      <Palette />
    </>
  )
}

/** "/" leads to the filter of the page, unless something is being typed. */
addEventListener('keydown', (event) => {
  const typing = (event.target as HTMLElement | null)?.matches('input, textarea, select')
  if (event.key !== '/' || event.metaKey || event.ctrlKey || event.altKey || typing) return
  const filter = document.querySelector<HTMLInputElement>('#filter')
  if (filter) event.preventDefault()
  filter?.focus()
})

showTheme()
startClock()
void begin()
render(<App />, document.querySelector('#app') as HTMLElement)
