/** Steps of the management interface that change the keys of Secure Boot: reset, cleared, or a certificate added. The
 *  end is what the BMC shows afterwards. */
import { Fault } from '../../../kit/fault.ts'
import { partOf, type Bmc } from '../../bmc/controller.ts'
import { preparedTask, type BmcWork, type WorkAt } from './bmc-work.ts'

const DEADLINE_MS = 20 * 60_000

type How = 'default' | 'clear'

const readState = async (bmc: Bmc, signal: AbortSignal) => {
  const { secureBoot } = await partOf(bmc, 'firmwareMode').read(signal)
  if (!secureBoot) throw new Fault('node.unsupported', 'the BMC shows no Secure Boot for this server')
  return secureBoot
}

/** `want` is whether the server shall be in setup mode. Keys that were reset while there were some show no difference:
 *  the BMC's word counts then. */
const keysWork = (how: How): BmcWork => ({
  async prepare(at) {
    const { setupMode } = await at.command(readState)
    return preparedTask({ what: 'keys', before: setupMode, want: how === 'clear' }, at, DEADLINE_MS)
  },
  async begin(task, at) {
    await at.command((bmc, signal) => partOf(bmc, 'firmwareMode').resetKeys(how, signal))
    return { task: { ...task, stage: 'asked' } }
  },
  async look(task, at) {
    const { setupMode } = await at.command(readState)
    if (setupMode === task.want) return { task: { ...task, stage: 'done' } }
    const words = setupMode ? 'the server has no keys yet' : 'the server still has its keys'
    const seen = { ...task.seen, words }
    // Some change the keys at the next start only.
    if (task.stage === 'asked') return { task: { ...task, stage: 'rebooted', seen }, restart: true }
    return { task: { ...task, seen } }
  },
})

const certificatesIn = (at: WorkAt) => at.step.args.certificates as readonly string[]

/** Proven by the database, which some change at the next start only. */
const enrollWork: BmcWork = {
  async prepare(at) {
    const { setupMode } = await at.command(readState)
    return preparedTask({ what: 'keys', before: setupMode, want: null }, at, DEADLINE_MS)
  },
  async begin(task, at) {
    let areShown = true
    for (const pem of certificatesIn(at))
      areShown = (await at.command((bmc, signal) => partOf(bmc, 'firmwareMode').enroll(pem, signal))) && areShown
    return { task: { ...task, stage: areShown ? 'done' : 'asked' } }
  },
  async look(task, at) {
    const certificates = certificatesIn(at)
    let shown = 0
    for (const pem of certificates)
      if (await at.command((bmc, signal) => partOf(bmc, 'firmwareMode').isEnrolled(pem, signal))) shown += 1
    if (shown === certificates.length) return { task: { ...task, stage: 'done' } }
    const seen = { ...task.seen, words: `${shown} of ${certificates.length} certificates are in the database db` }
    if (task.stage === 'asked') return { task: { ...task, stage: 'rebooted', seen }, restart: true }
    return { task: { ...task, seen } }
  },
}

export const SECURE_BOOT_WORKS: Readonly<Record<string, BmcWork>> = {
  'management.reset_secure_boot_keys_to_default': keysWork('default'),
  'management.clear_secure_boot_keys': keysWork('clear'),
  'management.enroll_secure_boot_certificates': enrollWork,
}
