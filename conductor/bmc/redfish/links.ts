/** Links, actions and collections of Redfish resources (DSP0266, "Resource links", "Actions", "Resource collections"),
 *  in the forms that services really send. */
import { isDict, type Dict } from '../../../kit/json.ts'
import { isFault } from '../../../kit/fault.ts'

const MAX_PATH = 1_000

/** The path of a link of a body: { "@odata.id": "/redfish/v1/..." }. */
export const linkOf = (value: unknown): string | null => pathOf(isDict(value) ? value['@odata.id'] : undefined)

/** A reference as a path. Some send whole URLs, with a name or an address of their own that does not lead to them from
 *  here: only the path counts, and the host that is asked is the one of the node. */
export function pathOf(reference: unknown): string | null {
  if (typeof reference !== 'string' || reference.length >= MAX_PATH) return null
  if (!/^https?:\/\//i.test(reference)) return reference.startsWith('/') ? reference : null
  if (!URL.canParse(reference)) return null
  const { pathname, search } = new URL(reference)
  // A path that begins with two slashes names a host.
  return `/${pathname.replace(/^\/+/, '')}${search}`
}

/** Whether two paths name one resource: some services end theirs with a slash, or change the case. */
export const isSame = (one: string, other: string): boolean => bare(one) === bare(other)
const bare = (path: string) => path.replace(/\/+$/, '').toLowerCase()

/** The last segment of a path. */
export const lastOf = (path: string): string => path.split('/').findLast((part) => part !== '') ?? ''

export interface Action {
  readonly target: string
  /** With its annotations, such as ResetType@Redfish.AllowableValues. */
  readonly body: Dict
}

/** An action of a resource, such as "#Manager.Reset"; undefined: it has none. */
export function actionOf({ Actions: actions }: Dict, name: string): Action | undefined {
  const body = isDict(actions) && isDict(actions[name]) ? actions[name] : {}
  const target = pathOf(body.target)
  return target === null ? undefined : { target, body }
}

export type ReadBody = (path: string) => Promise<{ readonly body: Dict }>

/** Pages of one collection: none that is sensible has more. */
const MAX_PAGES = 64

/** What stands in Members of a collection, over all its pages: links, or whole resources. At most `max`; throws what
 *  the reading of the first page throws. A page that is gone meanwhile ends the list. */
export async function membersOf(read: ReadBody, collection: string, max: number): Promise<readonly unknown[]> {
  return (await restOf(read, (await read(collection)).body, max)).slice(0, max)
}

/** The same for a collection whose first page is there; what the last page has beyond `max` is not cut off. */
export async function restOf(read: ReadBody, first: Dict, max: number): Promise<readonly unknown[]> {
  let found = listIn(first)
  const seen = new Set<string>()
  let next = pathOf(first['Members@odata.nextLink'])
  while (next !== null && found.length < max && seen.size < MAX_PAGES && !seen.has(next)) {
    seen.add(next)
    const page = await read(next).catch(ignoreMissing)
    found = found.concat(listIn(page?.body ?? {}))
    next = pathOf(page?.body['Members@odata.nextLink'])
  }
  return found
}

/** The paths of the members. */
export const memberPaths = async (read: ReadBody, collection: string, max: number): Promise<readonly string[]> =>
  (await membersOf(read, collection, max)).flatMap((member) => linkOf(member) ?? [])

const listIn = ({ Members: members }: Dict): readonly unknown[] => (Array.isArray(members) ? members : [])

const ignoreMissing = (error: unknown): undefined => {
  if (!isOfResource(error)) throw error
}

/** One resource is missing, forbidden or broken; the service answers. */
export const isOfResource = (error: unknown): boolean =>
  ['bmc.path', 'bmc.refused', 'bmc.licence', 'bmc.conflict'].some((code) => isFault(error) && error.code === code)
