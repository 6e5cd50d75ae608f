/** images.glance of the configuration -> the image service, with secrets read from their files. */
import { readFile } from 'node:fs/promises'
import type { Clock } from '../../../kit/clock.ts'
import { http } from '../../../kit/http.ts'
import { KeystoneSession, type KeystoneAccount } from '../../../kit/keystone.ts'
import { readSecret } from '../../../kit/webhook.ts'
import { Glance, type GlanceAuth } from '../../../images/glance.ts'
import type { Config } from '../../config.ts'

type GlanceConfig = NonNullable<Config['images']['glance']>

export async function openGlance({ url, caFile, auth }: GlanceConfig, clock: Clock): Promise<Glance> {
  const ca = caFile === undefined ? undefined : await readFile(caFile, 'utf8')
  return new Glance({ url, ca, auth: await authOf(auth, { ca, clock }) }, http)
}

async function authOf(
  auth: GlanceConfig['auth'],
  { ca, clock }: { ca: string | undefined; clock: Clock },
): Promise<GlanceAuth> {
  if (auth.type === 'none') return { kind: 'none' }
  const at = auth.type === 'application_credential' ? 'secretFile' : 'passwordFile'
  const secret = await readSecret(
    auth.type === 'application_credential' ? auth.secretFile : auth.passwordFile,
    `images.glance.auth.${at}`,
  )
  if (auth.type === 'basic') return { kind: 'basic', username: auth.username, password: secret }
  const identity: KeystoneAccount['identity'] =
    auth.type === 'application_credential'
      ? { method: 'application_credential', id: auth.id, secret }
      : { method: 'password', ...auth, password: secret }
  const session = new KeystoneSession(
    { authUrl: auth.authUrl, identity, ca },
    { http, wall: () => clock.now(), code: 'image.source' },
  )
  return { kind: 'keystone', session, interface: auth.interface, region: auth.region }
}
