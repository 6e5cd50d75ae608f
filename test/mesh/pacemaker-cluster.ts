/** Pacemaker and Corosync as they come, a cluster of two nodes of which one does not exist, in namespaces of their own:
 *  nothing of them is on this machine's network, and nothing is left of them. */
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, connect, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../../kit/clock.ts'
import { piped, run, type Piped, type RunResult } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'

const START_MS = 120_000
const NAMESPACES = ['--mount', '--net', '--ipc', '--uts', '--pid', '--fork', '--mount-proc', '--kill-child']

const node = (id: number): string => `  node {
    ring0_addr: 127.0.0.${id}
    name: n${id}
    nodeid: ${id}
  }`
const COROSYNC = `totem {
  version: 2
  cluster_name: test
  transport: udpu
  secauth: off
}
logging {
  to_stderr: no
  to_syslog: no
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
}
quorum {
  provider: corosync_votequorum
  two_node: 1
  wait_for_all: 0
}
nodelist {
${node(1)}
${node(2)}
}
`

export class PacemakerCluster {
  readonly dir: string
  private readonly first: Piped
  private readonly outside: Server
  private pid = 0

  private constructor(dir: string, outside: Server, first: Piped) {
    this.dir = dir
    this.outside = outside
    this.first = first
  }

  /** `port` of its loopback leads to `port` of this machine's. */
  static async start(port: number): Promise<PacemakerCluster> {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-pacemaker-'))
    // What the fencer gives the agent is kept: it tells which actions were called.
    const agent = `#!/bin/sh\ntee -a ${dir}/calls | exec ${process.execPath} ${ROOT}/dist/bundle/main.js fence-agent "$@"\n`
    await writeFile(join(dir, 'agent'), agent)
    await writeFile(join(dir, 'corosync.conf'), COROSYNC)
    await writeFile(join(dir, 'calls'), '')
    await chmod(dir, 0o755)
    const outside = createServer((client) => {
      const there = connect(port, '127.0.0.1')
      client.on('error', () => there.destroy())
      there.on('error', () => client.destroy())
      client.pipe(there).pipe(client)
    })
    await new Promise<void>((resolve) => outside.listen(join(dir, 'api'), resolve))
    const script = join(ROOT, 'test/mesh/pacemaker-cluster.sh')
    const begin = ['sh', '-c', 'echo $$ > "$0"; exec "$@"', join(dir, 'pid')]
    const first = piped([...begin, 'unshare', ...NAMESPACES, 'sh', script, dir, join(dir, 'agent')])
    const cluster = new PacemakerCluster(dir, outside, first)
    let said = ''
    first.stdout.on('data', (chunk: Buffer) => void (said = (said + chunk.toString()).slice(-4_000)))
    first.done.catch((error: unknown) => void (said += String(error)))
    try {
      await cluster.join(port)
    } catch (error) {
      await cluster.stop()
      throw new Error(`${String(error)}\n${said}`, { cause: error })
    }
    return cluster
  }

  private async join(port: number): Promise<void> {
    const inside = async () => {
      const pid = (await readFile(join(this.dir, 'pid'), 'utf8').catch(() => '')).trim()
      if (pid === '') return false
      this.pid = Number((await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim())
      return this.pid > 0
    }
    await until(inside, { what: 'the namespaces of Pacemaker', timeoutMs: START_MS, everyMs: 50 })
    void this.run([process.execPath, join(ROOT, 'test/mesh/pacemaker-relay.mjs'), String(port), join(this.dir, 'api')])
    await until(async () => (await this.run(['cibadmin', '--query'])).code === 0, {
      what: 'Pacemaker',
      timeoutMs: START_MS,
      everyMs: 250,
    })
  }

  /** A program in its namespaces. */
  run = (argv: readonly string[], timeoutMs = START_MS): Promise<RunResult> =>
    run(['nsenter', '--target', String(this.pid), '--mount', '--net', '--ipc', '--uts', '--pid', ...argv], {
      timeoutMs,
    })

  /** What the fencer gave the agent so far, one action each. */
  async actions(): Promise<string[]> {
    const text = await readFile(join(this.dir, 'calls'), 'utf8')
    return [...text.matchAll(/^action=(\S+)$/gm)].map(([, action = '']) => action)
  }

  async stop(): Promise<void> {
    this.first.stop()
    await this.first.done.catch(() => undefined)
    await new Promise((resolve) => this.outside.close(resolve))
    await rm(this.dir, { recursive: true, force: true })
  }
}
