/** The requests of the API that a stage consists of. Pure. */
import { SECRET_KEY, type Stage } from './plan.ts'

export interface StageRequest {
  readonly method: 'post' | 'put' | 'patch' | 'delete'
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: unknown
}

type Secrets = Readonly<Record<string, string>>

/** With the secrets in their places. Throws an `Error` that names the one that is missing. */
export function withSecrets(value: unknown, secrets: Secrets): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => withSecrets(item, secrets))
  if (value === null || typeof value !== 'object') return value
  const name = (value as Record<string, unknown>)[SECRET_KEY]
  if (typeof name !== 'string')
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withSecrets(inner, secrets)]))
  if (!Object.hasOwn(secrets, name)) throw new Error(`the secret ${name} was not given`)
  return secrets[name]
}

/** The interfaces of the driver of before are of no use to another one: what the patch does not name, it chooses. */
const NEW_INTERFACES = { query: { reset_interfaces: 'true' } } as const
const changesDriver = ({ patch }: Extract<Stage, { do: 'patch' }>): boolean =>
  patch.some(({ op, path }) => op !== 'remove' && path === '/driver')

/** `portUuid`: of a port that is created, the same each time that it is asked for. */
export function requestOf(
  stage: Stage,
  { nodeUuid, portUuid, secrets }: { nodeUuid: string; portUuid: string; secrets: Secrets },
): StageRequest {
  const node = `/v1/nodes/${nodeUuid}`
  const filled = (value: unknown) => withSecrets(value, secrets)
  switch (stage.do) {
    case 'create':
      return { method: 'post', path: '/v1/nodes', body: filled({ ...stage.body, uuid: nodeUuid }) }
    case 'patch':
      return { method: 'patch', path: node, body: filled(stage.patch), ...(changesDriver(stage) ? NEW_INTERFACES : {}) }
    case 'traits':
      return { method: 'put', path: `${node}/traits`, body: { traits: stage.traits } }
    case 'add port':
      return { method: 'post', path: '/v1/ports', body: { ...stage.body, uuid: portUuid, node_uuid: nodeUuid } }
    case 'change port':
      return { method: 'patch', path: `/v1/ports/${stage.uuid}`, body: stage.patch }
    case 'remove port':
      return { method: 'delete', path: `/v1/ports/${stage.uuid}` }
    case 'raid':
      return { method: 'put', path: `${node}/states/raid`, body: filled(stage.target) }
    case 'delete':
      return { method: 'delete', path: node }
    case 'verb':
      return {
        method: 'put',
        path: `${node}/states/provision`,
        // Last: what a plan was agreed to for is its verb.
        body: { ...(filled(stage.arguments ?? {}) as object), target: stage.verb },
      }
  }
}
