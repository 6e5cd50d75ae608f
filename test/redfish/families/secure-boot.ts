/** SecureBoot 1.1 with its databases and certificates: what is ordered holds from the next start on. It begins as its
 *  machine was made. */
import { collection, link, resource, SYSTEM, type Ask, type Outcome } from '../tree.ts'
import type { VirtualBmc } from '../virtual-bmc.ts'

export const SECURE_BOOT = `${SYSTEM}/SecureBoot`
const DATABASES = `${SECURE_BOOT}/SecureBootDatabases`
const CERTIFICATES = `${DATABASES}/db/Certificates`
const RESET = `${SECURE_BOOT}/Actions/SecureBoot.ResetKeys`
const RESET_TYPES = ['ResetAllKeysToDefault', 'DeleteAllKeys', 'DeletePK']

export class SecureBoot {
  enabled: boolean
  /** What the present start was verified by, or the last one. */
  active: boolean
  keys: 'factory' | 'none'
  /** PEM of what was added to db, by Id. */
  readonly certificates = new Map<string, string>()
  private readonly pending = new Map<string, string>()
  private readonly bmc: VirtualBmc

  constructor(bmc: VirtualBmc) {
    this.bmc = bmc
    const { tree, machine } = bmc
    ;({ enabled: this.enabled, keys: this.keys } = machine.secureBoot)
    this.active = this.enabled && this.keys === 'factory'
    tree.extend(SYSTEM, () => ({ SecureBoot: link(SECURE_BOOT) }))
    tree.add(SECURE_BOOT, {
      get: () =>
        resource(SECURE_BOOT, '#SecureBoot.v1_1_0.SecureBoot', {
          SecureBootEnable: this.enabled,
          SecureBootCurrentBoot: this.active ? 'Enabled' : 'Disabled',
          SecureBootMode: this.keys === 'none' ? 'SetupMode' : 'DeployedMode',
          SecureBootDatabases: link(DATABASES),
          Actions: {
            '#SecureBoot.ResetKeys': { target: RESET, 'ResetKeysType@Redfish.AllowableValues': RESET_TYPES },
          },
        }),
    })
    tree.writable(SECURE_BOOT, 'SecureBootEnable', (value) => {
      if (typeof value !== 'boolean')
        return { status: 400, id: 'PropertyValueTypeError', args: [String(value), 'SecureBootEnable'] }
      this.enabled = value
      this.tell()
    })
    tree.add(RESET, { post: (ask) => this.reset(ask) })
    tree.add(DATABASES, {
      get: () =>
        collection(DATABASES, '#SecureBootDatabaseCollection.SecureBootDatabaseCollection', [`${DATABASES}/db`]),
    })
    tree.add(`${DATABASES}/db`, {
      get: () =>
        resource(`${DATABASES}/db`, '#SecureBootDatabase.v1_0_2.SecureBootDatabase', {
          DatabaseId: 'db',
          Certificates: link(CERTIFICATES),
        }),
    })
    tree.add(CERTIFICATES, {
      get: () =>
        collection(
          CERTIFICATES,
          '#CertificateCollection.CertificateCollection',
          [...this.certificates.keys()].map((id) => `${CERTIFICATES}/${id}`),
        ),
      post: (ask) => this.add(ask),
    })
    tree.add(`${CERTIFICATES}/:id`, {
      get: ({ id = '' }) => {
        const pem = this.certificates.get(id)
        if (pem === undefined) return undefined
        return resource(`${CERTIFICATES}/${id}`, '#Certificate.v1_8_0.Certificate', {
          CertificateString: pem,
          CertificateType: 'PEM',
        })
      },
    })
    bmc.on('posted', () => {
      this.active = this.enabled && this.keys === 'factory'
      for (const [id, pem] of this.pending) this.certificates.set(id, pem)
      this.pending.clear()
    })
  }

  private reset({ body }: Ask): Outcome {
    const type = String(body.ResetKeysType)
    if (!RESET_TYPES.includes(type))
      return { status: 400, id: 'ActionParameterValueNotInList', args: [type, 'ResetKeysType', RESET] }
    this.keys = type === 'ResetAllKeysToDefault' ? 'factory' : 'none'
    this.certificates.clear()
    this.tell()
    return { status: 204 }
  }

  private add({ body }: Ask): Outcome {
    const { CertificateString: pem, CertificateType: type } = body
    if (typeof pem !== 'string' || type !== 'PEM')
      return { status: 400, id: 'CreateFailedMissingReqProperties', args: ['CertificateString'] }
    const id = String(this.certificates.size + this.pending.size + 1)
    if (this.bmc.profile.certificates === 'from the next start on') this.pending.set(id, pem)
    else this.certificates.set(id, pem)
    return { status: 201, headers: { location: `${CERTIFICATES}/${id}` } }
  }

  private tell(): void {
    void this.bmc.machine.setSecureBoot({ enabled: this.enabled, keys: this.keys })
  }
}
