/** What an agent says over the HTTP of the boot services when it cannot talk to the agent port. */
import type { Sign } from '../boot/signs.ts'

export const AGENT_SAID = {
  unreached: 'agent-unreached',
  distrusts: 'agent-distrusts',
} as const satisfies Record<string, Sign>

export type AgentSaid = keyof typeof AGENT_SAID

export const SAID_PATH = '/agent-said/'

export const isAgentSaid = (text: string): text is AgentSaid => Object.hasOwn(AGENT_SAID, text)
