/** How every command of the documents is tested is written down, and what is written down is true. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { makeProgram } from '../../cli/program.ts'
import { LANES } from '../cli/documented/commands.ts'
import { ELSEWHERE, NOT_HERE, SAME_WORK } from '../cli/documented/elsewhere.ts'
import { everyShown, shownIn, type Shown } from '../cli/documented/extract.ts'
import { ROOT } from '../lab/root.ts'

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const here = Object.values(LANES).flatMap((steps) => steps.map(({ command }) => command))
const elsewhere = ELSEWHERE.flatMap(([, , ...commands]) => commands)
const sameWork = SAME_WORK.flatMap(([, , , ...commands]) => commands)
const notHere = NOT_HERE.flatMap(([, ...commands]) => commands)
const every = [...here, ...elsewhere, ...sameWork, ...notHere]
const listed = new Set(every)

/** The words of a command of rackward, without what belongs to it: `node explain`. */
function nameOf(command: string): string | undefined {
  const [program, ...words] = command.split(/\s+/)
  if (program !== 'rackward') return undefined
  let at: Command | undefined = makeProgram()
  const path: string[] = []
  for (const word of words) {
    at = at?.commands.find((one) => one.name() === word)
    if (!at) break
    path.push(word)
  }
  return path.join(' ')
}
const tested = new Set(
  [...here, ...elsewhere, ...sameWork].map((command) => nameOf(command.replace(/^sudo -u \w+ /, ''))),
)

/** A name of a command within a line, such as `rackward node explain`, tells nobody to type it. Of a noun, its verbs
 *  are tested. */
function isName({ command, inline }: Shown): boolean {
  const name = nameOf(command)
  if (!inline || name === undefined || `rackward ${name}` !== command.replace(/ (?:\.\.\.|-f|--room)$/, ''))
    return false
  return name === '' || [...tested].some((one) => one === name || one?.startsWith(`${name} `))
}
/** What a verb of npm does is its own test; test/rules/commands-in-docs.test.ts looks whether there is such a verb. */
const isVerb = ({ command }: Shown) => /^(?:RACKWARD_SHOTS=DIR )?npm (?:run (?!-s lab)[\w:]+|test)( |$)/.test(command)
/** Said of a program, not told to be typed. */
const MENTIONED = new Set([
  'rackward UUID',
  'openstack segment',
  'openstack notification',
  'systemctl status',
  'ulimit -n',
  'vagrant halt',
  'kill -9',
  'htpasswd -D',
  'mv rackward.db rackward.db.old',
  'npm ci --loglevel=error',
])

test('every command of the documents is run by a test, or it is written down why not', () => {
  const shown = everyShown()
  expect(shown.length).toBeGreaterThan(250)
  const untested = shown.filter((one) => !listed.has(one.command) && !isName(one) && !isVerb(one))
  expect(untested.filter(({ command }) => !MENTIONED.has(command)).map((one) => `${one.page}: ${one.command}`)).toEqual(
    [],
  )
})

test('no command is listed that no document shows, and none twice', () => {
  const shown = new Set(everyShown().map(({ command }) => command))
  expect([...listed, ...MENTIONED].filter((command) => !shown.has(command))).toEqual([])
  expect(every.length).toBe(listed.size)
})

test('the tests that are named exist, and have what they are named for', () => {
  for (const [file, marker] of [...ELSEWHERE, ...SAME_WORK.map(([, ...row]) => row)])
    expect([file, existsSync(join(ROOT, file)) && read(file).includes(marker)]).toEqual([file, true])
})

test('a command that is new to a document is found, wherever it stands', () => {
  const text = 'Run `rackward node show x`, or\n\n    rackward node lst   # or so\n\n```sh\n$ curl x |\n  cat\n```\n'
  expect(shownIn('page', text).map(({ command }) => command)).toEqual([
    'curl x | cat',
    'rackward node lst',
    'rackward node show x',
  ])
  expect(isName({ page: '', command: 'rackward node explain', inline: true })).toBe(true)
  expect(isName({ page: '', command: 'rackward node explain', inline: false })).toBe(false)
  expect(isName({ page: '', command: 'rackward node explain --server x', inline: true })).toBe(false)
})
