/** What hinders the agent from talking to its conductor, said on the console, and over the HTTP that its ramdisk came
 *  by. */
import { get } from 'node:http'
import { SAID_PATH, type AgentSaid } from '../../conductor/api/agent-said.ts'
import { isFault } from '../../kit/fault.ts'
import { ANSWER, PIN, type OnTrouble } from './conductor.ts'

const SAY_TIMEOUT_MS = 5_000
/** Beside the first try, which may have waited for an answer: a conductor that restarts is away for a few. */
const EVERY = 10

export function troubleOf({
  http,
  say,
}: {
  readonly http: string | undefined
  readonly say: (line: string) => void
}): OnTrouble {
  return (fault, tries) => {
    const what: AgentSaid | undefined =
      fault.field === PIN ? 'distrusts' : isFault(fault, 'agent.network') ? 'unreached' : undefined
    if (what === undefined || (what === 'unreached' && tries !== 1 && tries % EVERY !== 0)) return
    say(`cannot reach the conductor, trying again: ${fault.detail}`)
    // Who answers is reached, whatever the answer is.
    if (http !== undefined && URL.canParse(http) && fault.field !== ANSWER) tell(new URL(`${SAID_PATH}${what}`, http))
  }
}

/** Nobody waits for it, and where it is not taken, the console says it too. */
function tell(url: URL): void {
  if (url.protocol !== 'http:') return
  const request = get(url, { timeout: SAY_TIMEOUT_MS }, (response) => response.resume())
  request.on('timeout', () => request.destroy())
  request.on('error', () => undefined)
}
