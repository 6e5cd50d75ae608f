/** What docs/examples/kubernetes-rbac.yaml allows: verbs on resources, and paths beside them. */
import { readFileSync } from 'node:fs'
import { parseAllDocuments } from 'yaml'

interface Rule {
  readonly apiGroups?: readonly string[]
  readonly resources?: readonly string[]
  readonly nonResourceURLs?: readonly string[]
  readonly verbs: readonly string[]
}

const FILE = new URL('../../docs/examples/kubernetes-rbac.yaml', import.meta.url)
const VERBS: Readonly<Record<string, string>> = { POST: 'create', PATCH: 'patch', DELETE: 'delete', PUT: 'update' }

/** Such as "list pods", "patch nodes/status", "delete storage.k8s.io/volumeattachments", "get /version". */
export function rightOf(method: string, path: string): string {
  const found =
    /^\/(?:api\/v1|apis\/([^/]+)\/[^/]+)\/(?:namespaces\/[^/]+\/)?([^/]+)(?:\/([^/]+)(?:\/([^/]+))?)?$/.exec(path)
  if (!found) return `${method.toLowerCase()} ${path}`
  const [, group, resource = '', name, sub] = found
  const verb = VERBS[method] ?? (name === undefined ? 'list' : 'get')
  return `${verb} ${group === undefined ? '' : `${group}/`}${resource}${sub === undefined ? '' : `/${sub}`}`
}

/** All that the first role of a manifest allows. */
export function rightsOfRole(file: URL = FILE): Set<string> {
  const docs = parseAllDocuments(readFileSync(file, 'utf8')).map(
    (doc) => doc.toJS() as { kind: string; rules?: Rule[] },
  )
  const { rules = [] } = docs.find(({ kind }) => kind === 'ClusterRole') ?? {}
  return new Set(
    rules.flatMap(({ apiGroups = [], resources = [], nonResourceURLs = [], verbs }) => {
      const what = apiGroups.flatMap((group) => resources.map((one) => (group === '' ? one : `${group}/${one}`)))
      return [...what, ...nonResourceURLs].flatMap((one) => verbs.map((verb) => `${verb} ${one}`))
    }),
  )
}
