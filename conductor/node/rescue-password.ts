/** Passwords of the rescue ramdisk: hashed for its /etc/shadow by openssl, which gets them on standard input. */
import { Fault } from '../../kit/fault.ts'
import { runOk } from '../../kit/run.ts'

/** A rescue password as a crypt(3) hash (SHA-512), which is what the ramdisk's login wants. It goes by standard
 *  input. */
export async function cryptHash(password: string): Promise<string> {
  if (/[\0\r\n]/.test(password)) throw new Fault('input.invalid', 'rescue_password holds a line break')
  return (await runOk(['openssl', 'passwd', '-6', '-stdin'], { timeoutMs: 10_000, input: `${password}\n` })).trim()
}
