/** A model of interactive ipmipower: one set of credentials at a time, asks all hosts of a line at once, answers each
 *  after a round trip. */
import { PassThrough } from 'node:stream'
import type { Clock } from '../../kit/clock.ts'
import type { Piped } from '../../kit/run.ts'

export interface PowerModel {
  readonly clock: Clock
  readonly rttMs: number
  /** Host -> its password; another is refused. */
  readonly passwords: ReadonlyMap<string, string>
  /** Hosts that never answer. */
  readonly dead?: ReadonlySet<string>
  readonly suites?: readonly number[]
}

export interface Fleet {
  readonly launch: (argv: readonly string[]) => Piped
  /** Hosts in the order in which they were asked, with the suite. */
  readonly asked: { readonly host: string; readonly suite: number }[]
  /** Children that run. */
  readonly children: Set<Piped>
}

const SESSION_MS = 3_000

export function powerModel(model: PowerModel): Fleet {
  const asked: { host: string; suite: number }[] = []
  const children = new Set<Piped>()
  const launch = (): Piped => {
    const [stdin, stdout] = [new PassThrough(), new PassThrough()]
    const now = { hosts: [] as string[], password: '', suite: 3 }
    const words: Record<string, (rest: string) => void> = {
      hostname: (rest) => (now.hosts = rest.split(',').map((host) => host.replace(/:\d+$/, ''))),
      password: (rest) => (now.password = rest),
      'cipher-suite-id': (rest) => (now.suite = Number(rest)),
      stat() {
        const { password, suite } = now
        for (const host of now.hosts) {
          asked.push({ host, suite })
          const dead = model.dead?.has(host) === true
          const right = model.passwords.get(host) === password
          const says = dead
            ? 'connection timeout'
            : !(model.suites ?? [3, 17]).includes(suite)
              ? 'BMC error'
              : right
                ? 'on'
                : 'password invalid'
          model.clock.after(dead ? SESSION_MS : model.rttMs, () => stdout.write(`${host}: ${says}\n`))
        }
      },
    }
    let rest = ''
    stdin.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) words[line.split(' ')[0] ?? '']?.(line.slice(line.indexOf(' ') + 1))
    })
    let over = (): void => undefined
    const done = new Promise<void>((resolve) => (over = resolve))
    const stop = () => {
      children.delete(child)
      over()
    }
    const child: Piped = { stdin, stdout, done, end: stop, stop }
    children.add(child)
    return child
  }
  return { launch, asked, children }
}
