/** The command lines of an ipmi_sim whose configuration and state stand in a directory, and of the ipmitool that asks
 *  it. */
import { join } from 'node:path'

export const ipmiSimArgv = (dir: string): string[] => [
  'ipmi_sim',
  '-n',
  '-c',
  join(dir, 'lan.conf'),
  '-f',
  join(dir, 'emu.cmd'),
  '-s',
  join(dir, 'state'),
]

/** A command for the BMC at `address`; the password is taken from the environment (IPMI_PASSWORD). */
export const ipmitoolArgv = (
  { address, user = 'admin', retries = 1 }: { address: string; user?: string; retries?: number },
  args: readonly string[],
): string[] => `ipmitool -I lanplus -H ${address} -U ${user} -E -C 3 -N 1 -R ${retries}`.split(' ').concat(args)
