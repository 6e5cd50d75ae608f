/** The documents at / and /v1, by which clients find what there is and which versions are spoken. */
import { MAX_MINOR, MIN_MINOR, versionText } from './versions.ts'
import { links } from './views.ts'

/** The version that brought each resource into the document at /v1. */
const RESOURCES: Readonly<Record<string, number>> = {
  chassis: 1,
  nodes: 1,
  ports: 1,
  drivers: 1,
  lookup: 22,
  heartbeat: 22,
  portgroups: 23,
  volume: 32,
  conductors: 49,
  allocations: 52,
  events: 54,
  deploy_templates: 55,
  shards: 82,
  continue_inspection: 84,
  runbooks: 92,
  inspection_rules: 96,
}

const version = (base: string) => ({
  id: 'v1',
  links: [{ href: `${base}/v1/`, rel: 'self' }],
  status: 'CURRENT',
  min_version: versionText(MIN_MINOR),
  version: versionText(MAX_MINOR),
})

export const rootDocument = (base: string) => ({
  name: 'OpenStack Ironic API',
  description: 'Rackward speaks the node API of OpenStack Ironic.',
  default_version: version(base),
  versions: [version(base)],
})

export const versionDocument = (base: string, minor: number) => ({
  id: 'v1',
  links: [{ href: `${base}/v1/`, rel: 'self' }],
  media_types: [{ base: 'application/json', type: 'application/vnd.openstack.ironic.v1+json' }],
  version: version(base),
  ...Object.fromEntries(
    Object.entries(RESOURCES).flatMap(([name, since]) => (since <= minor ? [[name, links({ base }, name)]] : [])),
  ),
})
