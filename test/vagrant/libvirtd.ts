/** libvirt's daemons, where no systemd runs them: ours for a test. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../../kit/clock.ts'
import { launch, run } from '../../kit/run.ts'
import { endProcess } from '../lab/rack.ts'

const MINUTE_MS = 60_000

export class Libvirtd {
  private readonly dir: string
  private readonly started: number[] = []

  /** `dir`: for their process ids. It exists. */
  constructor(dir: string) {
    this.dir = dir
  }

  async up(): Promise<void> {
    if (await answers()) return
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
  }
}

/** The first call after libvirtd's start waits until it has looked at the machine, which takes it a minute where
 *  everything else starts as well. */
const answers = async () =>
  (await run(['virsh', '-c', 'qemu:///system', 'version'], { timeoutMs: MINUTE_MS })).code === 0
