/** libvirt's daemons, where no systemd runs them: ours for a test. */
import { chmodSync, chownSync, existsSync, statSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import { until } from '../../kit/clock.ts'
import { launch, run } from '../../kit/run.ts'
import { endProcess } from '../lab/rack.ts'

const MINUTE_MS = 60_000
const KVM = '/dev/kvm'

export class Libvirtd {
  private readonly dir: string
  private readonly started: number[] = []
  private kvm: Stats | undefined

  /** `dir`: for their process ids. It exists. */
  constructor(dir: string) {
    this.dir = dir
  }

  async up(): Promise<void> {
    if (await answers()) return
    await this.shareKvm()
    for (const daemon of ['virtlogd', 'libvirtd']) {
      const file = join(this.dir, `${daemon}.pid`)
      const pid = launch([daemon, '--pid-file', file])
      // Also one that never gets ready is ended.
      if (pid !== undefined) this.started.push(pid)
      await until(() => existsSync(file), { what: daemon, timeoutMs: MINUTE_MS })
    }
    await until(answers, { what: 'libvirt', timeoutMs: 3 * MINUTE_MS })
  }

  down(): void {
    for (const pid of this.started.splice(0).reverse()) endProcess(pid, 'SIGTERM')
    if (!this.kvm) return
    chownSync(KVM, this.kvm.uid, this.kvm.gid)
    chmodSync(KVM, this.kvm.mode)
    this.kvm = undefined
  }

  /** As udev does (50-udev-default.rules), where none runs. Where QEMU can open it, and libvirt finds that its user may
   *  not, libvirt asks QEMU for its capabilities anew before each call, for 4 to 20 s. */
  private async shareKvm(): Promise<void> {
    if (!existsSync(KVM) || statSync(KVM).gid !== 0) return
    const { code, stdout } = await run(['getent', 'group', 'kvm'], { timeoutMs: MINUTE_MS })
    const gid = Number(stdout.split(':')[2])
    if (code !== 0 || !(gid > 0)) return
    this.kvm = statSync(KVM)
    chownSync(KVM, 0, gid)
    chmodSync(KVM, 0o660)
  }
}

/** The first call after libvirtd's start waits until it has looked at the machine, which takes it a minute where
 *  everything else starts as well. */
const answers = async () =>
  (await run(['virsh', '-c', 'qemu:///system', 'version'], { timeoutMs: MINUTE_MS })).code === 0
