/** An ipmitool whose BMCs obey: what was asked for is their power from then on. For a conductor without child
 *  processes. */
import type { Run } from '../../kit/run.ts'

/** `onCommand` gets each command line that changes something. */
export function obedientIpmitool(onCommand: (text: string) => void): Run {
  const powers = new Map<string, string>()
  return async (argv) => {
    const text = argv.join(' ')
    const host = /-H (\S+)/.exec(text)?.[1] ?? ''
    const wanted = /power (on|off)$/.exec(text)?.[1]
    if (wanted || argv.includes('raw')) onCommand(text)
    powers.set(host, wanted ?? powers.get(host) ?? 'off')
    return { code: 0, stdout: `Chassis Power is ${powers.get(host)}\n`, stderr: '' }
  }
}
