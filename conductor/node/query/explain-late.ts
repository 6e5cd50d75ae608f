/** Causes of what goes on and takes longer than usual: an agent that works, and a system that is not heard after a jump
 *  into it (kexec). Pure. */
import { FAULTS } from '../../../kit/fault.ts'
import type { NodeRecord } from '../record.ts'
import type { Cause } from './account.ts'
import type { Live } from './sightings.ts'

export interface LateFacts {
  readonly node: NodeRecord
  readonly nowMs: number
  readonly live: Pick<Live, 'progress'>
  readonly usualMs?: number | undefined
}

const REMEDIES: Readonly<Record<string, string>> = {
  write:
    'look at the speed and the errors of the network between the server and the image server, then at the disk (SMART)',
  verify: 'look at the disk: its SMART values, and whether its controller rebuilds a volume',
  erase: 'look at the disk: its SMART values; a disk that overwrites itself needs hours',
  finish: 'look at the disk: its SMART values, and whether its controller rebuilds a volume',
}

/** Its agent reports all the while: it is not lost. */
export function causesOfSlow({ node, nowMs, live, usualMs }: LateFacts): Cause[] {
  const tookMs = nowMs - (node.provisionUpdatedAtMs ?? node.createdAtMs)
  if (usualMs === undefined || tookMs <= usualMs) return []
  const { phase = '', doneBytes = 0, totalBytes = 0, from } = live.progress ?? {}
  const far = totalBytes > 0 ? `, ${Math.floor((100 * doneBytes) / totalBytes)} %` : ''
  return [
    {
      cause: `the agent works, and needs longer than usual${phase === '' ? '' : `: it is at "${phase}"${far}`}`,
      evidence: [
        `${seconds(tookMs)}, usually at most ${seconds(usualMs)}`,
        phase === ''
          ? 'it reports no progress'
          : `${phase}: ${doneBytes} of ${totalBytes} bytes${from ? ` ${from}` : ''}`,
      ],
      remedy: REMEDIES[phase] ?? 'look at the console of the server, and at how far it is in a minute',
    },
  ]
}

/** Without times of such jumps. */
const JUMP_MS = 60_000

/** A jump that went wrong says nothing; it is waited for until its deadline, and started cold then. */
export function causesOfJump({ node, nowMs, usualMs = JUMP_MS }: LateFacts): Cause[] {
  const { phase, reboot } = node.workflow
  const jumpedAtMs = reboot?.jumpedAtMs
  if (phase !== 'jump' || jumpedAtMs === undefined || nowMs - jumpedAtMs <= usualMs) return []
  const { description, remedy } = FAULTS['jump.silent']
  return [
    {
      cause: description,
      evidence: [
        `the agent jumped ${seconds(nowMs - jumpedAtMs)} ago; such a start usually takes ${seconds(usualMs)} at most`,
        'no DHCP request of its system arrived since then',
      ],
      remedy,
    },
  ]
}

const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`
