/** A part that one conductor of a store runs for all: it runs while this one has the duty. */
import { Loop } from '../../kit/loop.ts'
import type { Duty, NodeOwner } from '../store/owner.ts'
import type { Context, Startable } from './context.ts'

const LOOK_MS = 500

/** `make`: a new one each time that the duty comes here. Without other conductors it is simply started. */
export async function onDuty<T extends Startable>(
  { life, clock, log }: Context,
  { duty, owner }: { readonly duty: Duty; readonly owner: NodeOwner | undefined },
  make: () => T,
): Promise<() => T> {
  let part = make()
  let isRunning = false
  let turning: Promise<unknown> = Promise.resolve()
  const turn = async (wanted: boolean) => {
    if (wanted === isRunning) return
    isRunning = wanted
    if (!wanted) return part.stop()
    part = make()
    await part.start()
  }
  const turnTo = (wanted: boolean): Promise<void> => {
    const turned = turning.catch(() => undefined).then(() => turn(wanted))
    turning = turned
    return turned
  }
  const isOurs = () => owner?.holds(duty) ?? true
  owner?.listen({
    // Another conductor begins when this one has ended.
    leaving: async () => {
      if (!isOurs()) await turnTo(false)
      return true
    },
  })
  const onError = (error: unknown) => {
    isRunning = false
    log.error({ duty, err: error }, 'a duty could not be begun; it is tried again')
  }
  await life.add(
    duty,
    async () => {
      await turnTo(isOurs())
      return owner && new Loop({ clock, everyMs: LOOK_MS, onError }, () => turnTo(isOurs()))
    },
    async (loop) => {
      await loop?.stop()
      await turnTo(false)
    },
  )
  return () => part
}
