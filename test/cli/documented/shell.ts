/** Runs what a document says to type by bash, as it stands there. What goes on until somebody ends it is ended as a
 *  person does it, by Ctrl-C, once it has said what it should. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { until } from '../../../kit/clock.ts'
import { run, type RunResult } from '../../../kit/run.ts'

export interface Place {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/** Much longer than any of them takes on a machine that has nothing else to do. */
export const LONGEST_MS = 120_000

export const bash = (script: string, { cwd, env }: Place): Promise<RunResult> =>
  run(['bash', '-c', `set -e\n${script}`], { cwd, timeoutMs: LONGEST_MS, env })

/** Of one command, whose input stays open. Throws when it does not say it, or ended by itself. */
export async function endless(command: string, says: RegExp, { cwd, env }: Place): Promise<RunResult> {
  const child = spawn('bash', ['-c', `exec ${command}`], { cwd, env: { ...process.env, ...env } })
  const gone = once(child, 'exit')
  const said = { stdout: '', stderr: '' }
  child.stdout.on('data', (bytes: Buffer) => (said.stdout += String(bytes)))
  child.stderr.on('data', (bytes: Buffer) => (said.stderr += String(bytes)))
  const isOver = () => child.exitCode !== null || child.signalCode !== null
  try {
    await until(() => isOver() || says.test(said.stdout + said.stderr), {
      what: `${command}: ${says}`,
      timeoutMs: LONGEST_MS,
      everyMs: 50,
    })
    if (isOver()) throw new Error(`${command} ended by itself with ${child.exitCode}: ${said.stdout}${said.stderr}`)
    child.kill('SIGINT')
    const [code] = (await gone) as [number | null]
    return { code, ...said }
  } finally {
    if (!isOver()) child.kill('SIGKILL')
  }
}
