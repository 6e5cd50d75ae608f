/** Why a session or a request came to nothing -> the fault that is told. */
import { Fault } from '../../../kit/fault.ts'
import type { IpmiInfo } from '../controller.ts'
import type { Failure } from './status.ts'

/** Of this machine, and not of the BMC. */
const STARVED = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS'])

/** `bmc.refused` has the cause "suite" where the BMC does not know the cipher suite. */
export function bmcFault({ address, username }: IpmiInfo, { kind, words }: Failure): Fault {
  switch (kind) {
    case 'silent':
      return new Fault('bmc.unreachable', `BMC ${address} did not answer (${words})`)
    case 'password':
      return new Fault('bmc.password', `BMC ${address} refused the user ${username} or its password (${words})`)
    case 'sessions':
      return new Fault('bmc.sessions', `BMC ${address}: ${words}`)
    case 'unready':
      return new Fault('bmc.unready', `BMC ${address}: ${words}`)
    case 'suite':
      return new Fault('bmc.refused', `BMC ${address}: ${words}`, { cause: 'suite' })
    case 'refused':
      return new Fault('bmc.refused', `BMC ${address} refused the command: ${words}`)
  }
}

export function socketFault({ address }: IpmiInfo, error: NodeJS.ErrnoException): Fault {
  if (STARVED.has(error.code ?? ''))
    return new Fault('run.resources', `no socket for BMC ${address}: ${error.message}`, { cause: error })
  return new Fault('bmc.unreachable', `BMC ${address} cannot be reached: ${error.message}`, { cause: error })
}
