/** The resource families of a virtual BMC. One that is added here is in the tree of each. */
import type { VirtualBmc } from '../virtual-bmc.ts'
import { Accounts } from './accounts.ts'
import { Bios } from './bios.ts'
import { Chassis } from './chassis.ts'
import { Events } from './events.ts'
import { Managers } from './managers.ts'
import { SecureBoot } from './secure-boot.ts'
import { ServiceRoot } from './service-root.ts'
import { Sessions } from './sessions.ts'
import { Systems } from './systems.ts'
import { Tasks } from './tasks.ts'
import { Updates } from './updates.ts'
import { VirtualMedia } from './virtual-media.ts'

import { StorageFamily } from './storage.ts'

export const familiesOf = (bmc: VirtualBmc) => ({
  root: new ServiceRoot(bmc),
  sessions: new Sessions(bmc),
  accounts: new Accounts(bmc),
  systems: new Systems(bmc),
  managers: new Managers(bmc),
  chassis: new Chassis(bmc),
  storage: new StorageFamily(bmc),
  secureBoot: new SecureBoot(bmc),
  tasks: new Tasks(bmc),
  bios: new Bios(bmc),
  updates: new Updates(bmc),
  media: new VirtualMedia(bmc),
  events: new Events(bmc),
})
export type Families = ReturnType<typeof familiesOf>
