/** The pace of load and harm: how long a client rests between two requests, how long a phase lasts. Nothing is waited
 *  for with it. */
import { systemClock } from '../../kit/clock.ts'

export const pause = (ms: number): Promise<void> => systemClock.sleep(ms)
