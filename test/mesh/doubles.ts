/** Reads all the time which instances run where: none may ever run twice. */
import type { MeshLab } from './lab.ts'

export interface DoublesWatch {
  /** `instance on host and host`, as seen. */
  readonly twice: readonly string[]
  stop(): Promise<void>
}

export function watchDoubles(lab: Pick<MeshLab, 'truth'>): DoublesWatch {
  const twice: string[] = []
  let isWatching = true
  const watching = (async () => {
    while (isWatching)
      for (const [id, hosts] of await lab.truth()) if (hosts.length > 1) twice.push(`${id} on ${hosts.join(' and ')}`)
  })()
  return {
    twice,
    stop: () => {
      isWatching = false
      return watching
    },
  }
}
