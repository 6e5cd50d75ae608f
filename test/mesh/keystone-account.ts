/** The administrator of the Keystones of the tests: the twin's and the real one's. */
import { Keystone } from '../../host-agent/adapters/instances/keystone.ts'
import { http } from '../../kit/http.ts'

const ADMIN = { username: 'admin', password: 'peer', userDomain: 'Default', project: 'admin', projectDomain: 'Default' }

/** `computeUrl`: what is asked instead of the catalog's. */
export const keystoneAt = (authUrl: string, more: { region?: string; computeUrl?: string } = {}): Keystone =>
  new Keystone(
    { authUrl, ...ADMIN, region: more.region, interface: 'public', computeUrl: more.computeUrl, ca: undefined },
    { http, wall: () => Date.now() },
  )
