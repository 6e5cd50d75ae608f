/** What a boot room says when it dials, from its first word to the claim that is kept of it. */
import type { DoubtKeeper } from './keeper.ts'
import type { RoomSaid, Witness } from './witness.ts'

export interface HearParts {
  readonly doubt: Pick<DoubtKeeper, 'refresh' | 'claim' | 'heard' | 'forget'>
  readonly witness: Pick<Witness, 'hear'>
  /** False: the room was removed. */
  readonly isThere: (room: string) => Promise<boolean>
}

export async function hearRoom(said: RoomSaid, { doubt, witness, isThere }: HearParts): Promise<void> {
  // Another conductor may have accepted the database, and have told this room of the new incarnation already.
  await doubt.refresh()
  const claim = await witness.hear(said)
  if (!claim) return doubt.heard(said.room)
  await doubt.claim(claim)
  // It was removed while it was heard: nobody could remove it again, to take back what it said.
  if (!(await isThere(said.room))) await doubt.forget(said.room)
}
