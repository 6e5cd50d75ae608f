/** Man pages, made of the definitions of the commands and of the configuration: one page for each command of the first
 *  level, one for the program, and one for each configuration file. */
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import type * as z from 'zod'
import { Config } from '../conductor/config.ts'
import { AgentConfig } from '../host-agent/config.ts'
import { configKeys, typeOf } from '../kit/config-keys.ts'
import { writeWhole } from '../kit/files.ts'
import { STATUSES } from './error.ts'

export interface Page {
  /** Such as rackward-node.1. */
  readonly name: string
  readonly text: string
}

const STATUS_WORDS: Readonly<Record<keyof typeof STATUSES, string>> = {
  failed: 'the command failed',
  usage: 'the command line is wrong',
  missing: 'the object does not exist',
  refused: 'the server refuses the request',
  unreachable: 'the server cannot be reached',
  late: 'a wait timed out',
  denied: 'the user may not do this, or is not known',
  different: 'nothing failed: what is wanted differs from what is there',
}
const ENVIRONMENT = [
  ['RACKWARD_SERVER', 'URL of the API, or unix:/path of a socket; OS_ENDPOINT is read as well'],
  ['RACKWARD_USER, RACKWARD_PASSWORD', 'as whom it is asked; OS_USERNAME and OS_PASSWORD are read as well'],
  ['RACKWARD_CACERT', 'certificate of the server or of its authority (PEM)'],
  ['OS_CLOUD', 'a cloud of clouds.yaml'],
  ['RACKWARD_BMC_PASSWORD', 'password of a BMC that is enrolled'],
] as const

/** roff(7): a backslash begins an escape, a point or an apostrophe at the start of a line a request; a bare hyphen may
 *  become another character. */
export const roff = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/gm, '\\&$1')
const bold = (text: string) => `\\fB${roff(text)}\\fR`
const quoted = (text: string) => `"${roff(text).replaceAll('"', '\\(dq')}"`
const entry = (term: string, says: string) => `.TP\n${term}\n${roff(says)}`
const section = (name: string, ...lines: readonly string[]) => [`.SH ${quoted(name)}`, ...lines]
const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`

const visible = (command: Command): readonly Command[] =>
  command.commands.filter((one) => !(one as { _hidden?: boolean })._hidden)

function head(name: string, number: number, about: { version: string; says: string }): string[] {
  const manual = number === 1 ? 'User Commands' : 'File Formats'
  return [
    `.TH ${quoted(name.toUpperCase())} ${number} "" ${quoted(`Rackward ${about.version}`)} ${quoted(manual)}`,
    ...section('NAME', `${roff(name)} \\- ${roff(about.says)}`),
  ]
}

/** Words of the command line, with those of the commands above it. */
const pathOf = (command: Command): string =>
  command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name()

function synopsis(command: Command): string {
  const words = command.registeredArguments.map((one) => {
    const name = `${one.name()}${one.variadic ? '...' : ''}`
    return one.required ? name : `[${name}]`
  })
  const options = command.options.length > 0 ? ['[options]'] : []
  return [bold(pathOf(command)), ...[...options, ...words].map(roff)].join(' ')
}

function details(command: Command): string[] {
  const described = command.registeredArguments.filter(({ description }) => description !== '')
  const options = command.options.filter(({ hidden }) => !hidden)
  const usual = (value: unknown) => (value === undefined ? '' : ` (default: ${String(value as string)})`)
  const choices = (list: readonly string[] | undefined) => (list ? ` (${list.join(', ')})` : '')
  return [
    ...described.map((one) => entry(`\\fI${roff(one.name())}\\fR`, sentence(one.description))),
    ...options.map((one) =>
      entry(bold(one.flags), `${sentence(one.description)}${choices(one.argChoices)}${usual(one.defaultValue)}`),
    ),
  ]
}

/** A command with all below it. */
function chapters(command: Command): string[] {
  const own =
    visible(command).length > 0 && command.options.length === 0
      ? []
      : [
          `.SS ${quoted(pathOf(command))}`,
          synopsis(command),
          '.PP',
          roff(sentence(command.description())),
          ...details(command),
        ]
  return [...own, ...visible(command).flatMap(chapters)]
}

function commandPage(command: Command, version: string): Page {
  const name = `rackward-${command.name()}`
  const leaves = (one: Command): Command[] => (visible(one).length > 0 ? visible(one).flatMap(leaves) : [one])
  const text = [
    ...head(name, 1, { version, says: command.description() }),
    ...section('SYNOPSIS', ...leaves(command).flatMap((one) => [synopsis(one), '.br'])),
    ...section('DESCRIPTION', roff(sentence(command.description()))),
    ...(visible(command).length === 0
      ? section('OPTIONS', ...details(command))
      : section('COMMANDS', ...chapters(command))),
    ...section('SEE ALSO', `${bold('rackward')}(1), ${bold('rackward-conductor.yaml')}(5)`),
  ]
  return { name: `${name}.1`, text: `${text.join('\n')}\n` }
}

function programPage(program: Command, version: string): Page {
  const commands = visible(program)
  const text = [
    ...head('rackward', 1, { version, says: program.description() }),
    ...section('SYNOPSIS', `${bold('rackward')} command [options] [arguments]`),
    ...section(
      'DESCRIPTION',
      roff('Takes servers from bare metal to a running system, and hosts that die to instances that run elsewhere.'),
      roff('A first configuration is made by rackward init; rackward doctor finds what will hurt.'),
    ),
    ...section(
      'COMMANDS',
      ...commands.map((one) => entry(`${bold(`rackward-${one.name()}`)}(1)`, sentence(one.description()))),
    ),
    ...section('ENVIRONMENT', ...ENVIRONMENT.map(([name, says]) => entry(bold(name), sentence(says)))),
    ...section(
      'EXIT STATUS',
      entry(bold('0'), 'Done.'),
      ...Object.entries(STATUSES).map(([kind, status]) =>
        entry(bold(String(status)), sentence(STATUS_WORDS[kind as keyof typeof STATUSES])),
      ),
    ),
    ...section(
      'FILES',
      entry('\\fI/etc/rackward/conductor.yaml\\fR', 'Configuration of the conductor.'),
      entry('\\fI/etc/rackward/agent.yaml\\fR', 'Configuration of the agent of a host or an arbiter.'),
      entry('\\fI/etc/rackward/clouds.yaml\\fR', "How this machine's own conductor is reached, and as whom."),
    ),
    ...section(
      'SEE ALSO',
      [
        ...commands.map((one) => `${bold(`rackward-${one.name()}`)}(1)`),
        `${bold('rackward-conductor.yaml')}(5)`,
        `${bold('rackward-agent.yaml')}(5)`,
      ].join(', '),
    ),
  ]
  return { name: 'rackward.1', text: `${text.join('\n')}\n` }
}

function configPage(schema: z.ZodType, about: { name: string; says: string; version: string; file: string }): Page {
  const keys = configKeys(schema).map(({ path, schema: key, isRequired, description }) => {
    const usual = isRequired ? 'required' : key.default === undefined ? '' : `default: ${JSON.stringify(key.default)}`
    const type = typeOf(key).replaceAll('`', '').replaceAll('\\|', '|')
    return entry(bold(path), `${description} (${[type, usual].filter(Boolean).join('; ')})`.replaceAll('`', ''))
  })
  const text = [
    ...head(about.name, 5, about),
    ...section(
      'DESCRIPTION',
      roff(`${about.file} is YAML. An unknown key is an error that names the nearest known one.`),
    ),
    ...section('KEYS', ...new Set(keys)),
    ...section('SEE ALSO', `${bold('rackward')}(1)`),
  ]
  return { name: `${about.name}.5`, text: `${text.join('\n')}\n` }
}

/** All pages. */
export const manPages = (program: Command, version: string): readonly Page[] => [
  programPage(program, version),
  ...visible(program).map((command) => commandPage(command, version)),
  configPage(Config, {
    name: 'rackward-conductor.yaml',
    file: '/etc/rackward/conductor.yaml',
    version,
    says: 'configuration of the conductor of Rackward',
  }),
  configPage(AgentConfig, {
    name: 'rackward-agent.yaml',
    file: '/etc/rackward/agent.yaml',
    version,
    says: 'configuration of the agent of Rackward',
  }),
]

export async function writePages(program: Command, dir: string): Promise<void> {
  const manifest = fileURLToPath(new URL('../../package.json', import.meta.url))
  const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { version: string }
  await rm(dir, { recursive: true, force: true })
  await mkdir(dir, { recursive: true })
  for (const { name, text } of manPages(program, version)) await writeWhole(join(dir, name), text, 0o644)
}
