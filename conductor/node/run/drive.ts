/** A config drive comes in instance_info and is kept beside the record: taken out here, and stored before the record
 *  refers to it. */
import type { Random } from '../../../kit/random.ts'
import type { DriveContent } from '../../store/port.ts'
import type { Store } from '../../store/port.ts'
import type { ConfigDriveRef, NodeRecord } from '../record.ts'
import { isDriveUrl, type DriveDownload } from './drive-download.ts'
import { checkDrive } from '../policy/size.ts'

/** Throws `input.invalid` for what is no config drive, or is too big for one. */
export function splitDrive(
  node: NodeRecord,
  limitBytes: number,
): { node: NodeRecord; content: DriveContent | undefined } {
  const { configdrive, ...instanceInfo } = node.instanceInfo
  if (configdrive === undefined) return { node, content: undefined }
  return {
    node: { ...node, instanceInfo },
    content: configdrive === null ? undefined : checkDrive(configdrive, limitBytes),
  }
}

/** The config drive of a request, checked; a URL is fetched when it is certain that the request will not be refused.
 *  Undefined: there is none. */
export function driveWanted(
  given: unknown,
  parts: { driveDownload: DriveDownload; limits: { configDriveBytes: number } },
): (() => Promise<DriveContent>) | undefined {
  if (given === undefined) return undefined
  if (isDriveUrl(given)) {
    parts.driveDownload.check(given)
    return () => parts.driveDownload.fetch(given)
  }
  const content = checkDrive(given, parts.limits.configDriveBytes)
  return async () => content
}

/** `keep` stores a config drive. When what `save` does fails, nothing refers to it, and it goes. */
export async function withDrive<T>(
  { store, random }: { store: Store; random: Random },
  uuid: string,
  save: (keep: (content: DriveContent) => Promise<ConfigDriveRef>) => Promise<T>,
): Promise<T> {
  const ids: string[] = []
  try {
    return await save(async (content) => {
      // The change is made again: nothing refers to the drive of the try before.
      for (const id of ids.splice(0)) await store.removeConfigDrive(id)
      const id = random.uuid()
      ids.push(id)
      return store.addConfigDrive(uuid, id, content)
    })
  } catch (error) {
    for (const id of ids) await store.removeConfigDrive(id).catch(() => undefined)
    throw error
  }
}
