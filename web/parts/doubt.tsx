/** Above every page while nothing is acted on, because the database is older than what is known of it: who says so, and
 *  how an operator goes on. */
import type { DoubtView } from '../api.ts'
import { usePolled } from '../poll.ts'
import { me } from '../state.ts'

const EVERY_MS = 10_000

/** For those who may know of it: operators of all projects. */
export function Doubt() {
  const user = me.value
  return user && user.project === null && user.role !== 'reader' ? <Told /> : null
}

function Told() {
  const { value } = usePolled<DoubtView>('/rackward/v1/store/doubt', EVERY_MS)
  if (!value) return null
  if (!value.in_doubt && value.waits_for.length === 0) return null
  if (!value.in_doubt)
    return (
      <p class="card old" role="status">
        The conductor has started, and acts on nothing until its boot rooms have said what they know:{' '}
        {value.waits_for.join(', ')}.
      </p>
    )
  const knowing = value.rooms.map(({ room, who }) => `the ${who === 'conductor' ? 'conductor' : 'boot room'} ${room}`)
  const newer = value.nodes.length
  return (
    <p class="problem card" role="alert">
      Nothing is acted on: the database is older than what {knowing.join(' and ')}{' '}
      {knowing.length > 1 ? 'know' : 'knows'}
      {newer > 0 ? `, and wrong about ${newer} ${newer === 1 ? 'server' : 'servers'}` : ''}. See them with{' '}
      <code>rackward store doubt</code>; then restore a newer backup, or go on with this one:{' '}
      <code>rackward store accept</code>.
    </p>
  )
}
