/** Chassis 1.23: the enclosure of the one system. */
import { CHASSIS, collection, link, MANAGER, resource, ROOT, SYSTEM } from '../tree.ts'
import type { VirtualBmc } from '../virtual-bmc.ts'

export class Chassis {
  constructor({ tree, machine }: VirtualBmc) {
    tree.extend(ROOT, () => ({ Chassis: link(`${ROOT}/Chassis`) }))
    tree.add(`${ROOT}/Chassis`, {
      get: () => collection(`${ROOT}/Chassis`, '#ChassisCollection.ChassisCollection', [CHASSIS]),
    })
    tree.add(CHASSIS, {
      get: () =>
        resource(CHASSIS, '#Chassis.v1_23_0.Chassis', {
          ChassisType: 'RackMount',
          Manufacturer: machine.identity.manufacturer,
          SerialNumber: machine.identity.serialNumber,
          PowerState: machine.power === 'Off' ? 'Off' : 'On',
          Status: { State: 'Enabled', Health: 'OK' },
          Links: { ComputerSystems: [link(SYSTEM)], ManagedBy: [link(MANAGER)] },
        }),
    })
  }
}
