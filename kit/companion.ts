/** A program of ours as a child with a channel of messages: it lives no longer than this process, since whatever ends
 *  this process closes the channel. And the other end of the channel. */
import { spawn, type ChildProcess } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import type { Server } from 'node:net'
import { getPriority, setPriority } from 'node:os'

export interface Companion {
  readonly pid: number | undefined
  /** Resolves when it is on its way; rejects when the child is gone. A server that goes with it listens in both. */
  send(message: unknown, server?: Server): Promise<void>
  /** In words, once it ended and its last message is here: "status 1", "SIGKILL", or why it could not be started. */
  readonly over: Promise<string>
  /** TERM, and KILL a moment later. */
  end(): void
}

const KILL_AFTER_MS = 2_000
/** Bit 2: capabilities(7). */
const CAP_DAC_READ_SEARCH = 1n << 2n

/** Its outputs are our standard error, and its environment is `env` alone. */
export function companion(
  argv: readonly string[],
  { env, onMessage }: { env: Readonly<Record<string, string>>; onMessage: (message: unknown) => void },
): Companion {
  const [program = '', ...words] = argv
  let child: ChildProcess
  try {
    child = spawn(program, words, { stdio: ['ignore', 2, 2, 'ipc'], env, detached: true })
  } catch (error) {
    const gone = () => Promise.reject(error instanceof Error ? error : new Error(String(error)))
    return { pid: undefined, send: gone, over: Promise.resolve((error as Error).message), end: () => undefined }
  }
  const over = new Promise<string>((resolve) => {
    child.on('error', (error) => child.pid === undefined && resolve(error.message))
    // After `exit` there may still be messages to read.
    child.once('close', (status, signal) => resolve(signal ?? `status ${status}`))
  })
  child.on('message', onMessage)
  return {
    pid: child.pid,
    over,
    send: (message, server) =>
      new Promise((resolve, reject) => {
        const done = (error: Error | null) => (error ? reject(error) : resolve())
        child.send(message as object, server, done)
      }),
    end: () => {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS)
      timer.unref()
      void over.then(() => clearTimeout(timer))
    },
  }
}

export interface ParentChannel {
  send(message: unknown): Promise<void>
  onMessage(listener: (message: unknown, server: Server | undefined) => void): void
  /** The process that started us ended, or wants no more of us. */
  onGone(listener: () => void): void
}

/** Undefined: nobody started this process with a channel. */
export function parentChannel(): ParentChannel | undefined {
  if (!process.send) return undefined
  return {
    send: (message) =>
      new Promise((resolve, reject) => {
        if (!process.connected) return reject(new Error('the channel is closed'))
        process.send?.(message, undefined, undefined, (error) => (error ? reject(error) : resolve()))
      }),
    onMessage: (listener) => void process.on('message', (message, handle) => listener(message, handle as Server)),
    onGone: (listener) => void process.once('disconnect', listener),
  }
}

/** The same program without capabilities, now and after whatever it starts (capabilities(7), setpriv(1)). Root keeps
 *  the right to read every file, which nobody else has by itself. */
export const withoutPrivileges = (argv: readonly string[], isRoot: boolean): string[] => [
  'setpriv',
  '--no-new-privs',
  '--inh-caps=-all',
  '--ambient-caps=-all',
  ...(isRoot ? ['--bounding-set=-all,+dac_read_search'] : []),
  '--',
  ...argv,
]

/** Whether root reads files of others after `withoutPrivileges`; containers take that right away. `status`: of
 *  /proc/self/status. */
export function rootReadsAll(status: string): boolean {
  const bounds = /^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1]
  return bounds === undefined || (BigInt(`0x${bounds}`) & CAP_DAC_READ_SEARCH) !== 0n
}

/** Everybody else goes first where a processor is wanted. Where the kernel groups processes by session
 *  (sched_autogroup), nice values count within one session alone, and a companion has its own: the group gives way as
 *  well. One that gives way more already stays so: it may not come back up without privileges. */
export async function giveWay(niceness: number): Promise<void> {
  if (getPriority() < niceness) setPriority(niceness)
  await writeFile('/proc/self/autogroup', String(niceness)).catch(() => undefined)
}
