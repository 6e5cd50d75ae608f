/** AccountService 1.13 and ManagerAccount 1.11: one administrator, whose password can be changed. */
import { collection, link, resource, ROOT } from '../tree.ts'
import type { VirtualBmc } from '../virtual-bmc.ts'

const SERVICE = `${ROOT}/AccountService`
const ACCOUNTS = `${SERVICE}/Accounts`
const ADMINISTRATOR = `${ACCOUNTS}/1`
const ROLE = `${SERVICE}/Roles/Administrator`

export class Accounts {
  constructor(bmc: VirtualBmc) {
    const { tree } = bmc
    tree.extend(ROOT, () => ({ AccountService: link(SERVICE) }))
    tree.add(SERVICE, {
      get: () =>
        resource(SERVICE, '#AccountService.v1_13_0.AccountService', {
          ServiceEnabled: true,
          MinPasswordLength: 8,
          MaxPasswordLength: 40,
          Accounts: link(ACCOUNTS),
          Roles: link(`${SERVICE}/Roles`),
        }),
    })
    tree.add(`${SERVICE}/Roles`, {
      get: () => collection(`${SERVICE}/Roles`, '#RoleCollection.RoleCollection', [ROLE]),
    })
    tree.add(ROLE, {
      get: () =>
        resource(ROLE, '#Role.v1_3_1.Role', {
          IsPredefined: true,
          AssignedPrivileges: ['Login', 'ConfigureManager', 'ConfigureUsers', 'ConfigureSelf', 'ConfigureComponents'],
        }),
    })
    tree.add(ACCOUNTS, {
      get: () => collection(ACCOUNTS, '#ManagerAccountCollection.ManagerAccountCollection', [ADMINISTRATOR]),
    })
    tree.add(ADMINISTRATOR, {
      get: () =>
        resource(ADMINISTRATOR, '#ManagerAccount.v1_11_0.ManagerAccount', {
          UserName: bmc.user,
          Password: null,
          Enabled: true,
          Locked: false,
          RoleId: 'Administrator',
          AccountTypes: ['Redfish'],
          Links: { Role: link(ROLE) },
        }),
    })
    tree.writable(ADMINISTRATOR, 'Password', (value) => {
      if (typeof value !== 'string' || value.length < 8 || value.length > 40)
        return { status: 400, id: 'PropertyValueFormatError', args: ['******', 'Password'] }
      bmc.password = value
    })
  }
}
