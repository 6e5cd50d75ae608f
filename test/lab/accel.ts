/** KVM only after a guest proved that it runs: /dev/kvm can be there and still hang every guest. */
import { accessSync, constants } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../../kit/run.ts'

const PROOF_TIMEOUT_MS = 10_000

export async function chooseAccel(kernel: string): Promise<'kvm' | 'tcg'> {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
  } catch {
    return 'tcg'
  }
  const dir = await mkdtemp(join(tmpdir(), 'rackward-kvm-'))
  const serial = join(dir, 'serial')
  try {
    // A kernel without a root file system prints its version and panics, and a panic ends this guest.
    const argv = [
      'qemu-system-x86_64',
      '-accel',
      'kvm',
      '-m',
      '256',
      '-nodefaults',
      '-display',
      'none',
      '-serial',
      `file:${serial}`,
      '-no-reboot',
      '-kernel',
      kernel,
      '-append',
      'console=ttyS0 panic=-1',
    ]
    await run(argv, { timeoutMs: PROOF_TIMEOUT_MS }).catch(() => undefined)
    return (await readFile(serial, 'latin1').catch(() => '')).includes('Linux version') ? 'kvm' : 'tcg'
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
