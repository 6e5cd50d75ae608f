/** Manager 1.18: the BMC itself, with its clock, its version and its restart. */
import { collection, link, MANAGER, resource, ROOT, SYSTEM } from '../tree.ts'
import type { VirtualBmc } from '../virtual-bmc.ts'

const RESET = `${MANAGER}/Actions/Manager.Reset`
const RESET_TYPES = ['GracefulRestart', 'ForceRestart']
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/

export class Managers {
  firmwareVersion = '1.0.0'
  /** How far its clock is off. */
  clockErrorMs = 0

  constructor(bmc: VirtualBmc) {
    const { tree, clock } = bmc
    tree.extend(ROOT, () => ({ Managers: link(`${ROOT}/Managers`) }))
    tree.add(`${ROOT}/Managers`, {
      get: () => collection(`${ROOT}/Managers`, '#ManagerCollection.ManagerCollection', [MANAGER]),
    })
    tree.add(MANAGER, {
      get: () =>
        resource(MANAGER, '#Manager.v1_18_0.Manager', {
          ManagerType: 'BMC',
          FirmwareVersion: this.firmwareVersion,
          PowerState: 'On',
          Status: { State: 'Enabled', Health: 'OK' },
          DateTime: `${new Date(clock.now() + this.clockErrorMs).toISOString().slice(0, 19)}+00:00`,
          DateTimeLocalOffset: '+00:00',
          Links: { ManagerForServers: [link(SYSTEM)] },
          Actions: { '#Manager.Reset': { target: RESET, 'ResetType@Redfish.AllowableValues': RESET_TYPES } },
        }),
    })
    tree.writable(MANAGER, 'DateTime', (value) => {
      if (typeof value !== 'string' || !TIME.test(value))
        return { status: 400, id: 'PropertyValueFormatError', args: [String(value), 'DateTime'] }
      this.clockErrorMs = Date.parse(value) - clock.now()
    })
    tree.writable(MANAGER, 'DateTimeLocalOffset', (value) =>
      value === '+00:00' || value === 'Z' || value === '+00'
        ? undefined
        : { status: 400, id: 'PropertyValueNotInList', args: [String(value), 'DateTimeLocalOffset'] },
    )
    tree.add(RESET, {
      post: ({ body }) => {
        if (!RESET_TYPES.includes(String(body.ResetType)))
          return { status: 400, id: 'ActionParameterValueNotInList', args: [String(body.ResetType), 'ResetType'] }
        void bmc.restart()
        return { status: 204 }
      },
    })
  }
}
