/** Every command that a document shows exists, with its subcommands and options. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { makeProgram } from '../../cli/program.ts'
import { readArgs } from '../lab/args.ts'
import { ROOT } from '../lab/root.ts'

const PAGES = [
  'README.md',
  'vagrant/README.md',
  ...readdirSync(join(ROOT, 'docs')).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : [])),
]
const SCRIPTS = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object }).scripts
const program = makeProgram()

/** Fenced and indented blocks, and code within a line; blocks of YAML and the like are data. */
function codeOf(text: string): string[] {
  const fences = [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```/gm)]
  const blocks = fences.flatMap(([, kind, body = '']) =>
    /^(?:|sh|bash|shell|console)$/.test(kind ?? '') ? [body] : [],
  )
  const rest = text.replace(/^```(\w*)\n[\s\S]*?^```/gm, '')
  const indented = rest.split('\n').filter((line) => line.startsWith('    '))
  const spans = [...rest.matchAll(/(?<!`)`([^`\n]+)`(?!`)/g)].map(([, span = '']) => span)
  return [...blocks.flatMap((block) => block.split('\n')), ...indented, ...spans]
}

/** The words of each command that begins at the start of a line, or after what joins commands. */
function commandsOf(line: string, starts: RegExp): string[][] {
  const bare = line.replace(/\s#.*$/, '')
  return [...bare.matchAll(starts)].map((match) => {
    const rest = bare.slice(match.index + match[0].length)
    return (rest.split(/\s*(?:&&|\|\||[;|<>)&]|\s\.\.\.,)\s*/)[0] ?? '').trim().split(/\s+/).filter(Boolean)
  })
}
const RACKWARD =
  /(?<=^\s*(?:\$ )?(?:sudo )?(?:[A-Z_]+=\S+ )*|[;&|(] ?|lab --(?: --name \S+)? |main\.js )rackward (?=[a-z])/g
const NPM = /(?<=^\s*(?:\$ )?|[;&|] ?)npm run (?:-s )?/g

/** What is wrong with the words after `rackward`; undefined: nothing. */
function flawOf(words: readonly string[]): string | undefined {
  let command: Command = program
  let args = 0
  for (const word of words) {
    const flag = /^(--?[A-Za-z][\w-]*)/.exec(word)?.[1]
    if (flag) {
      const chain: Command[] = []
      for (let at: Command | null = command; at; at = at.parent) chain.push(at)
      const known = chain.some(({ options }) => options.some(({ long, short }) => long === flag || short === flag))
      if (!known && flag !== '--help' && flag !== '-h') return `${command.name()} has no ${flag}`
      continue
    }
    if (args > 0 || command.commands.length === 0 || !/^[a-z][a-z-]*$/.test(word)) {
      args += 1
      continue
    }
    const next = command.commands.find((one) => one.name() === word)
    if (!next && command.registeredArguments.length === 0) return `${command.name()} has no ${word}`
    if (next) command = next
    else args += 1
  }
  return undefined
}

/** Notation of a synopsis: brackets, ellipses, and choices such as `on|off`. */
const isNotation = (word: string) => /^[[.]|^…/.test(word)
const shown = PAGES.flatMap((page) =>
  codeOf(readFileSync(join(ROOT, page), 'utf8')).map((line) => ({ page, line: line.trim() })),
)

test('every command of rackward that a document shows exists, with its options', () => {
  const commands = shown.flatMap(({ page, line }) =>
    commandsOf(line, RACKWARD).map((words) => ({ page, line, words: words.filter((word) => !isNotation(word)) })),
  )
  expect(commands.length).toBeGreaterThan(60)
  const flaws = commands.flatMap(({ page, line, words }) => {
    const flaw = flawOf(words)
    return flaw === undefined ? [] : [`${page}: ${line}: ${flaw}`]
  })
  expect(flaws).toEqual([])
})

test('every verb of npm that a document shows exists, and the lab takes its options', () => {
  const verbs = shown.flatMap(({ page, line }) => commandsOf(line, NPM).map((words) => ({ page, line, words })))
  expect(verbs.length).toBeGreaterThan(30)
  const strange = verbs.filter(({ words }) => !Object.hasOwn(SCRIPTS, words[0] ?? ''))
  expect(strange.map(({ page, line }) => `${page}: ${line}`)).toEqual([])
  for (const { words } of verbs)
    // `--simulate` is a command of rackward.
    if (words[0] === 'lab' && words[1] === '--' && words[2] !== '--simulate')
      expect(() => readArgs(words.slice(2))).not.toThrow()
})

test('a command, a subcommand and an option that do not exist are found', () => {
  expect(flawOf(['node', 'lst'])).toBe('node has no lst')
  expect(flawOf(['nod', 'list'])).toBe('rackward has no nod')
  expect(flawOf(['node', 'list', '--stat', 'active'])).toBe('list has no --stat')
  expect(flawOf(['boot', 'snippets', '--for', 'kea', '--config', 'f'])).toBeUndefined()
  expect(commandsOf('X=1 rackward node list -o json && rackward doctor   # both', RACKWARD)).toEqual([
    ['node', 'list', '-o', 'json'],
    ['doctor'],
  ])
})

test('the list of documents names every document once', () => {
  const list = readFileSync(join(ROOT, 'docs/README.md'), 'utf8')
  for (const page of PAGES.filter((name) => name !== 'docs/README.md' && name !== 'README.md'))
    expect(list.split(`(${page.startsWith('docs/') ? page.slice(5) : `../${page}`})`)).toHaveLength(2)
})
