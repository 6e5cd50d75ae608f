/** Why a host cannot be switched off, is not proven off, or is not believed to be off, in words for people. Pure. */
import type { Facts, PowerRead } from './guards.ts'

export function offRefusal(facts: Facts): string {
  if (!facts.levels.includes('L1')) return 'no BMC may be used for it'
  if (facts.updating !== null) return `OFF waits, for it could destroy its BMC: ${facts.updating}`
  if (facts.identity === 'mismatch') return 'its BMC says that it belongs to another machine: no power command is sent'
  if (facts.identity === 'unknown') return 'its BMC does not answer'
  return facts.halted ?? 'the lease is too short'
}

export const saysOff = (facts: Facts) => facts.reads.at(-1)?.power === 'off'
export const lifeAfterOff = (facts: Facts) =>
  saysOff(facts)
    ? 'its BMC says "off", and it is heard: the BMC may be another machine’s'
    : 'the BMC took the command, and it is heard'

export function noProof(facts: Facts): string {
  const last = facts.reads.at(-1)
  const faults = facts.devices.flatMap(({ level, fault, lastOffMs }) =>
    lastOffMs === null ? [] : [`${level}: ${fault ?? 'it does not say "off" twice'}`],
  )
  return [bmcNoProof(facts, last), ...faults].join('; ')
}

function bmcNoProof(facts: Facts, last: PowerRead | undefined): string {
  if (facts.updating !== null || facts.identity === 'mismatch') return offRefusal(facts)
  if (!last || last.power === 'unknown')
    return `its BMC does not answer${facts.resetByMs === null ? '' : '; waiting for its watchdog'}`
  return last.power === 'on' ? 'its BMC took the command and still says "on"' : 'its BMC said "off" only once'
}
