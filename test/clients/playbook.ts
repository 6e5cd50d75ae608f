/** Runs an Ansible playbook in the unpacked Debian, and answers one check for each of its tasks. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { DebianRoot, Inside } from './debian-root.ts'
import type { Check } from './report.ts'

export interface Playbook {
  /** For the names of the checks. */
  readonly title: string
  /** Path inside the root. */
  readonly path: string
  /** Path or paths of inventories inside the root. */
  readonly inventory?: string
  readonly variables: Readonly<Record<string, unknown>>
}

const Said = z.object({
  msg: z.unknown().optional(),
  results: z.array(z.object({ failed: z.boolean().default(false), msg: z.unknown().optional() })).optional(),
})
type Said = z.infer<typeof Said>

/** The lines of the callback ansible.posix.jsonl that matter here; passwords stand in none of them (`no_log`). */
const Event = z.object({
  _event: z.string(),
  task: z.object({ name: z.string(), id: z.string() }).optional(),
  hosts: z.record(z.string(), Said).optional(),
})
type Event = z.infer<typeof Event>

export async function runPlaybook(root: DebianRoot, book: Playbook, at: Inside): Promise<Check[]> {
  await writeFile(join(at.work, 'variables.json'), JSON.stringify(book.variables), { mode: 0o600 })
  const { code, stdout, stderr } = await root.run(
    [
      'ansible-playbook',
      ...(book.inventory === undefined ? ['-i', 'localhost,'] : ['-i', book.inventory]),
      '-e',
      '@/work/variables.json',
      book.path,
    ],
    {
      ...at,
      env: {
        ANSIBLE_STDOUT_CALLBACK: 'ansible.posix.jsonl',
        ANSIBLE_RETRY_FILES_ENABLED: 'false',
        ANSIBLE_NOCOLOR: '1',
        ANSIBLE_LOCALHOST_WARNING: 'false',
        // Facts and modules by the Python that has openstacksdk.
        ANSIBLE_PYTHON_INTERPRETER: '/usr/bin/python3',
        OS_CLIENT_CONFIG_FILE: '/work/clouds.yaml',
        PYTHONDONTWRITEBYTECODE: '1',
        ...at.env,
      },
    },
  )

  const checks = checksOf(eventsOf(stdout), book.title)
  // A playbook that broke before its first task, or ended between two.
  if (code !== 0 && checks.every(({ result }) => result !== 'failed'))
    checks.push({
      name: `${book.title}: ansible-playbook`,
      result: 'failed',
      why: `status ${code}: ${lastWords(stdout, stderr)}`,
    })
  return checks
}

function eventsOf(text: string): Event[] {
  return text.split('\n').flatMap((line) => {
    if (!line.startsWith('{')) return []
    const event = Event.safeParse(JSON.parse(line))
    return event.success ? [event.data] : []
  })
}

/** One check per task and host that ran it. */
function checksOf(events: readonly Event[], title: string): Check[] {
  return events.flatMap(({ _event, task, hosts = {} }) => {
    const result = RESULTS[_event]
    if (result === undefined || task === undefined) return []
    return Object.entries(hosts).map(([host, said]): Check => {
      const name = `${title}: ${task.name}${host === 'localhost' ? '' : ` (${host})`}`
      return result === 'passed' ? { name, result } : { name, result, why: wordsOf(said) }
    })
  })
}

/** The message of a task, and of each item of a loop that failed. */
function wordsOf({ msg, results = [] }: Said): string {
  const failed = results.filter((one) => one.failed).map((one) => one.msg)
  return [msg, ...failed].map((text) => (typeof text === 'string' ? text : JSON.stringify(text))).join('; ')
}

/** A task that is skipped by its `when` is none of the checks. */
const RESULTS: Readonly<Record<string, Check['result'] | undefined>> = {
  v2_runner_on_ok: 'passed',
  v2_runner_on_failed: 'failed',
  v2_runner_on_unreachable: 'failed',
}

const lastWords = (...texts: readonly string[]): string => texts.join('\n').trim().slice(-600)
