/** Runs commands of the real `baremetal` CLI (Debian's python3-ironicclient) and of openstacksdk against a
 *  conductor. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { ROOT } from '../lab/root.ts'

export interface Said {
  readonly code: number
  readonly out: string
  readonly err: string
}

export interface Cli {
  /** One command, whatever its status. */
  run(...args: string[]): Promise<Said>
  /** One command that must succeed; its output as JSON where it was asked for (`-f json`). */
  ok(...args: string[]): Promise<any>
  close(): void
}

/** Debian's own: another Python in front of it has none of its packages. */
export const PYTHON = '/usr/bin/python3'

/** `enter`: what to put in front of the program, such as `ip netns exec NAME`. */
export function openCli(env: Record<string, string>, enter: readonly string[] = []): Cli {
  const argv = [...enter, PYTHON, join(ROOT, 'test/clients/cli.py')]
  const child = spawn(argv[0] as string, argv.slice(1), {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/nonexistent', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  let turn: Promise<unknown> = Promise.resolve()
  const run = (...args: string[]): Promise<Said> => {
    const said = turn.then(async () => {
      child.stdin.write(`${JSON.stringify(args)}\n`)
      const line = await lines.next()
      if (line.done) throw new Error('the CLI’s process ended')
      return JSON.parse(line.value) as Said
    })
    turn = said.catch(() => undefined)
    return said
  }
  return {
    run,
    async ok(...args) {
      const said = await run(...args)
      if (said.code !== 0) throw new Error(`baremetal ${args.join(' ')}: ${said.code}\n${said.out}\n${said.err}`)
      return args.includes('json') ? (JSON.parse(said.out) as unknown) : said.out
    },
    close: () => child.kill(),
  }
}
