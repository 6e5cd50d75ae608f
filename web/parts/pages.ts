/** The pages of the console, and who is shown which. */
import type { Me } from '../api.ts'

const PAGES = [
  { to: '/', name: 'Racks' },
  { to: '/nodes', name: 'Nodes' },
  { to: '/mesh', name: 'Mesh', needs: 'mesh' },
  { to: '/arbiters', name: 'Arbiters', needs: 'mesh' },
  { to: '/incidents', name: 'Incidents', needs: 'mesh' },
  { to: '/events', name: 'Events' },
  { to: '/images', name: 'Images', needs: 'whole' },
  { to: '/rollouts', name: 'Roll-outs', needs: 'rollouts' },
  { to: '/queue', name: 'Queue', needs: 'whole', isInHead: false },
  { to: '/links', name: 'Links', needs: 'operator' },
] as const

/** What belongs to the whole site is not shown to who is confined to a project; the mesh is where there
 *  is one, and links are made by who may change something. */
export const pagesFor = (user: Me | null | undefined) =>
  PAGES.filter((page) => {
    if (!('needs' in page)) return true
    if (page.needs === 'rollouts') return user?.project === null && user.role !== 'reader'
    if (page.needs === 'operator') return user?.needs_login && user.role !== 'reader'
    return user?.project === null && (page.needs === 'whole' || user.mesh)
  })

/** Those that stand in the head of every page. */
export const headPagesFor = (user: Me | null | undefined) => pagesFor(user).filter((page) => !('isInHead' in page))
