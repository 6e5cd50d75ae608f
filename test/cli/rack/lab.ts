/** A small rack file, and the nodes of a conductor that it was applied to. */
import type { RackNode } from '../../../conductor/api/rack-schemas.ts'
import { applied, planText } from './model.ts'

export const FILE = `version: 1
site: lab
secrets: { bmc: { env: X } }
images: { one: { store: one } }
racks:
  r1:
    units:
      u01: { driver: ipmi, bmc: 192.0.2.1, u: 1, height: 2, image: one, want: active, resource_class: compute,
        driver_info: { ipmi_username: admin, ipmi_password: { secret: bmc } }, traits: [CUSTOM_A],
        properties: { memory_mb: 1024 }, ports: ['52:54:00:00:00:01'], raid: { logical_disks: [{ size_gb: 1, raid_level: '1' }] } }
      u02: { driver: fake-hardware, want: available, u: 3 }
`
export const LAB = async (): Promise<RackNode[]> => applied(await planText(FILE), [])
