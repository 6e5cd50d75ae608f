/** Every legal move of a node, as data. What is not here cannot happen. */
import type { Arrow } from '../../kit/arrows.ts'
import type { State } from './states.ts'

/** Verbs that a person sends (Ironic's provision targets, by the name of their event). */
export type Verb = 'manage' | 'inspect' | 'provide' | 'clean' | 'deploy' | 'rebuild' | 'delete' | 'abort'

export type NodeEvent = Verb | 'done' | 'wait' | 'resume' | 'fail'

/** What we owe on entering a state; `effects.ts` turns it into acts. */
export type Phase =
  | 'rest'
  /** Try the credentials of the BMC. */
  | 'verify'
  /** Bring the node into the ramdisk: by a power cycle, or by nothing where its agent is there already. */
  | 'boot'
  /** The agent works on an order. */
  | 'agent'
  /** Start the node from its disk. */
  | 'start'
  /** The node must not run on: power off, proven. */
  | 'halt'

export interface NodeArrow extends Arrow<State, NodeEvent> {
  readonly phase: Phase
}

export const NODE_ARROWS: readonly NodeArrow[] = [
  { from: 'enroll', on: 'manage', to: 'verifying', phase: 'verify', because: 'the operator wants it managed' },
  { from: 'verifying', on: 'done', to: 'manageable', phase: 'rest', because: 'the BMC took the credentials' },
  { from: 'verifying', on: 'fail', to: 'enroll', phase: 'rest', because: 'the BMC did not answer or refused' },

  { from: 'manageable', on: 'inspect', to: 'inspecting', phase: 'boot', because: 'the operator wants its hardware looked at' },
  { from: 'manageable', on: 'provide', to: 'cleaning', phase: 'boot', because: 'nothing becomes available with somebody else’s data on it' },
  { from: 'manageable', on: 'clean', to: 'cleaning', phase: 'boot', because: 'the operator asked for clean steps' },

  { from: 'inspecting', on: 'wait', to: 'inspect wait', phase: 'agent', because: 'the node was told to boot the ramdisk' },
  { from: 'inspecting', on: 'done', to: 'manageable', phase: 'rest', because: 'the hardware is known' },
  { from: 'inspecting', on: 'fail', to: 'inspect failed', phase: 'rest', because: 'the node could not be booted' },
  { from: 'inspect wait', on: 'resume', to: 'inspecting', phase: 'boot', because: 'the agent was lost, and there are tries left' },
  { from: 'inspect wait', on: 'done', to: 'manageable', phase: 'rest', because: 'the agent reported the hardware' },
  { from: 'inspect wait', on: 'fail', to: 'inspect failed', phase: 'rest', because: 'the agent failed or fell silent' },
  { from: 'inspect wait', on: 'abort', to: 'inspect failed', phase: 'halt', because: 'the operator stopped it' },
  { from: 'inspect failed', on: 'inspect', to: 'inspecting', phase: 'boot', because: 'the operator tries again' },
  { from: 'inspect failed', on: 'manage', to: 'manageable', phase: 'rest', because: 'the operator goes on without' },

  { from: 'cleaning', on: 'wait', to: 'clean wait', phase: 'agent', because: 'the node was told to boot the ramdisk' },
  { from: 'cleaning', on: 'done', to: 'available', phase: 'rest', because: 'the disks are clean' },
  { from: 'cleaning', on: 'manage', to: 'manageable', phase: 'rest', because: 'the clean steps that the operator asked for are done' },
  { from: 'cleaning', on: 'fail', to: 'clean failed', phase: 'rest', because: 'the node could not be booted' },
  { from: 'clean wait', on: 'resume', to: 'cleaning', phase: 'boot', because: 'the agent was lost, and there are tries left' },
  { from: 'clean wait', on: 'done', to: 'available', phase: 'rest', because: 'the agent erased the disks and read them back' },
  { from: 'clean wait', on: 'manage', to: 'manageable', phase: 'rest', because: 'the agent did the clean steps that the operator asked for' },
  { from: 'clean wait', on: 'fail', to: 'clean failed', phase: 'rest', because: 'the agent failed or fell silent' },
  { from: 'clean wait', on: 'abort', to: 'clean failed', phase: 'halt', because: 'the operator stopped it' },
  { from: 'clean failed', on: 'manage', to: 'manageable', phase: 'rest', because: 'the operator looks into it' },

  { from: 'available', on: 'deploy', to: 'deploying', phase: 'boot', because: 'the operator wants an instance on it' },
  { from: 'available', on: 'manage', to: 'manageable', phase: 'rest', because: 'the operator takes it back' },

  { from: 'deploying', on: 'wait', to: 'wait call-back', phase: 'agent', because: 'the node was told to boot the ramdisk' },
  { from: 'deploying', on: 'done', to: 'active', phase: 'rest', because: 'the node was started from its disk' },
  { from: 'deploying', on: 'fail', to: 'deploy failed', phase: 'rest', because: 'the image is missing or the node did not obey' },
  { from: 'wait call-back', on: 'resume', to: 'deploying', phase: 'boot', because: 'the agent was lost, and there are tries left' },
  { from: 'wait call-back', on: 'done', to: 'deploying', phase: 'start', because: 'the agent wrote the image and read it back' },
  { from: 'wait call-back', on: 'fail', to: 'deploy failed', phase: 'rest', because: 'the agent failed or fell silent' },
  { from: 'wait call-back', on: 'abort', to: 'deploy failed', phase: 'halt', because: 'the operator stopped it' },
  { from: 'wait call-back', on: 'delete', to: 'deleting', phase: 'rest', because: 'the operator changed his mind' },
  { from: 'deploy failed', on: 'deploy', to: 'deploying', phase: 'boot', because: 'the operator tries again' },
  { from: 'deploy failed', on: 'rebuild', to: 'deploying', phase: 'boot', because: 'the operator tries again' },
  { from: 'deploy failed', on: 'delete', to: 'deleting', phase: 'rest', because: 'the operator gives up' },

  { from: 'active', on: 'rebuild', to: 'deploying', phase: 'boot', because: 'the operator wants the disk written anew' },
  { from: 'active', on: 'delete', to: 'deleting', phase: 'rest', because: 'the instance is no longer wanted' },
  { from: 'deleting', on: 'clean', to: 'cleaning', phase: 'boot', because: 'the next user finds nothing of this one' },
  { from: 'deleting', on: 'fail', to: 'error', phase: 'rest', because: 'the instance could not be taken away' },
  { from: 'error', on: 'rebuild', to: 'deploying', phase: 'boot', because: 'the operator wants the disk written anew' },
  { from: 'error', on: 'delete', to: 'deleting', phase: 'rest', because: 'the operator tries again' },
]
