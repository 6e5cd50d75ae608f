/** ServiceRoot 1.16 and the version list, which need no login. Families add their links to the root. */
import { collection, link, resource, ROOT } from '../tree.ts'
import type { VirtualBmc } from '../virtual-bmc.ts'

export class ServiceRoot {
  constructor({ tree, machine }: VirtualBmc) {
    tree.add('/redfish', { get: () => ({ v1: `${ROOT}/` }) })
    tree.add(ROOT, {
      get: () =>
        resource(`${ROOT}/`, '#ServiceRoot.v1_16_0.ServiceRoot', {
          Id: 'RootService',
          Name: 'Root Service',
          RedfishVersion: '1.18.0',
          UUID: machine.identity.uuid,
          Vendor: machine.identity.manufacturer,
          JsonSchemas: link(`${ROOT}/JsonSchemas`),
          Registries: link(`${ROOT}/Registries`),
          ProtocolFeaturesSupported: {
            ExpandQuery: { NoLinks: false, Links: false, ExpandAll: false, Levels: false },
            SelectQuery: false,
            FilterQuery: false,
            OnlyMemberQuery: false,
          },
        }),
    })
    // Schemas and message registries are DMTF's: none is stored here. Families add registries of their own.
    tree.add(`${ROOT}/Registries`, {
      get: () => collection(`${ROOT}/Registries`, '#MessageRegistryFileCollection.MessageRegistryFileCollection', []),
    })
    tree.add(`${ROOT}/JsonSchemas`, {
      get: () => collection(`${ROOT}/JsonSchemas`, '#JsonSchemaFileCollection.JsonSchemaFileCollection', []),
    })
  }
}
