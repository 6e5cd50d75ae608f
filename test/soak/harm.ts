/** What is done to the conductor itself: killed at many moments, stopped, and left without a disk. */
import { until } from '../../kit/clock.ts'
import { fillDisk, type Ground } from './ground.ts'
import type { Conductor } from './process.ts'
import { pause } from './pause.ts'

export interface Harm {
  readonly name: string
  /** Answers what was done; rejects when the conductor does not come back as it must. */
  inflict(conductor: Conductor, ground: Ground): Promise<string>
}

const KILLS = 7
const STOPPED_MS = 8000
const BACK_MS = 30_000

const kill: Harm = {
  name: 'kill -9',
  async inflict(conductor) {
    const startSeconds: number[] = []
    for (let i = 0; i < KILLS; i += 1) {
      startSeconds.push(await conductor.killAndRestart())
      // Another moment of its work each time.
      await pause(200 + ((i * 397) % 1300))
    }
    return `killed ${KILLS} times; it answers again after ${Math.max(...startSeconds).toFixed(1)} s at the latest`
  },
}

const freeze: Harm = {
  name: 'SIGSTOP',
  async inflict(conductor) {
    conductor.signal('SIGSTOP')
    await pause(STOPPED_MS)
    conductor.signal('SIGCONT')
    await until(() => conductor.healthy(), { what: 'an answer after SIGCONT', timeoutMs: BACK_MS })
    return `stopped for ${STOPPED_MS / 1000} s`
  },
}

const fill: Harm = {
  name: 'full disk',
  async inflict(_conductor, ground) {
    const readyIs = (wanted: number, when: string) =>
      until(
        () =>
          fetch(`${ground.api}/readyz`).then(
            (answer) => answer.status === wanted,
            () => false,
          ),
        {
          what: `/readyz to be ${wanted} ${when}`,
          timeoutMs: BACK_MS,
          everyMs: 200,
        },
      )
    const disk = await fillDisk(ground.dataDir)
    try {
      await readyIs(503, 'on a full disk')
    } finally {
      await disk.empty()
    }
    await readyIs(200, 'when there is space again')
    return 'the disk was full'
  },
}

export const HARMS: readonly Harm[] = [kill, freeze, fill]
