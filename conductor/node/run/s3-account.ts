/** images.s3 of the configuration -> the account at S3-compatible storage, with its secret read from its file. */
import { readFile } from 'node:fs/promises'
import { S3 } from '../../../images/s3.ts'
import type { Clock } from '../../../kit/clock.ts'
import { readSecret } from '../../../kit/webhook.ts'
import type { Config } from '../../config.ts'

export async function openS3(config: NonNullable<Config['images']['s3']>, clock: Clock): Promise<S3> {
  const { caFile, secretKeyFile, ...options } = config
  const ca = caFile === undefined ? undefined : await readFile(caFile, 'utf8')
  const secretKey = await readSecret(secretKeyFile, 'images.s3.secretKeyFile')
  return new S3({ ...options, ca, secretKey }, () => clock.now())
}
