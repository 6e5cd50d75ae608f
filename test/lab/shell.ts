/** Where the rack's commands run: root's tools, inside a network namespace that the rack made itself. */
import { runOk } from '../../kit/run.ts'

const TIMEOUT_MS = 30_000

export const sh = (argv: readonly string[], timeoutMs = TIMEOUT_MS): Promise<string> => runOk(argv, { timeoutMs })

export const inNamespace = (namespace: string, argv: readonly string[]): string[] => [
  'ip',
  'netns',
  'exec',
  namespace,
  ...argv,
]
