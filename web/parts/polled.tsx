/** What stands above an answer that is asked for again and again: why there is none, or how old it is. */
import { duration } from '../format.ts'
import { tick, type Answer } from '../state.ts'

const OLD_S = 10

/** `everyS`: how often it is asked for at least. */
export function Freshness({
  answer,
  everyS = 0,
  whom = 'the arbiters',
}: {
  readonly answer: Answer<unknown>
  readonly everyS?: number
  readonly whom?: string
}) {
  const ageS = (tick.value - answer.atMs) / 1000
  if (answer.problem)
    return (
      <p class="problem card" role="alert">
        {answer.problem}
        {answer.value !== undefined && ` What is shown is ${duration(ageS)} old.`}
      </p>
    )
  if (answer.value === undefined) return <p class="muted">Asking {whom} …</p>
  return ageS > OLD_S + everyS ? (
    <p class="card old" role="status">
      No answer for {duration(ageS)}.
    </p>
  ) : null
}
