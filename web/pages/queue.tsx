/** Who waits until there is room for one more server. */
import { Queue } from '../parts/queue.tsx'

export const QueuePage = () => (
  <>
    <div class="bar">
      <h1>Queue</h1>
      <span class="muted">A server leaves it by the requests Abort and Delete of its page.</span>
    </div>
    <Queue />
  </>
)
