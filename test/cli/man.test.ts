/** The man pages say everything that the commands and the configuration say, and groff has nothing against them. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { expect, onTestFinished, test } from 'vitest'
import { manPages, roff } from '../../cli/man.ts'
import { makeProgram } from '../../cli/program.ts'
import { Config } from '../../conductor/config.ts'
import { configKeys } from '../../kit/config-keys.ts'
import { run, runOk } from '../../kit/run.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

const program = makeProgram()
const pages = manPages(program, '1.2.3')
const pageOf = (name: string) => pages.find((page) => page.name === name)?.text ?? ''
const shown = (one: { _hidden?: boolean }) => !one._hidden

function all(command: Command): Command[] {
  return [command, ...command.commands.filter((one) => shown(one as object)).flatMap(all)]
}

test('every command, argument of many words and option has a description', () => {
  const bare = all(program).flatMap((command) => [
    ...(command.description() ? [] : [command.name()]),
    ...command.options.filter(({ description }) => !description).map(({ flags }) => `${command.name()} ${flags}`),
  ])
  expect(all(program).length).toBeGreaterThan(60)
  expect(bare).toEqual([])
})

test('every command and option stands in the page of its noun', () => {
  for (const noun of program.commands.filter((one) => shown(one as object))) {
    const text = pageOf(`rackward-${noun.name()}.1`)
    const isGroup = (one: Command) => one !== noun && one.commands.length > 0 && one.options.length === 0
    for (const command of all(noun).filter((one) => !isGroup(one))) {
      expect(text).toContain(roff(command.description()).slice(1))
      for (const { flags, description } of command.options) {
        expect(text).toContain(`\\fB${roff(flags)}\\fR`)
        expect(text).toContain(roff(description).slice(1))
      }
    }
    expect(pageOf('rackward.1')).toContain(`rackward\\-${roff(noun.name())}\\fR(1)`)
  }
  for (const { path, description } of configKeys(Config)) {
    expect(pageOf('rackward-conductor.yaml.5')).toContain(`\\fB${roff(path)}\\fR`)
    expect(pageOf('rackward-conductor.yaml.5')).toContain(roff(description).replaceAll('`', ''))
  }
})

test('text is no request and no escape of roff', () => {
  expect(roff(".TH x\n'br\\fB a-b")).toBe("\\&.TH x\n\\&'br\\efB a\\-b")
})

test('groff renders every page without a warning', { timeout: 60_000 }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-man-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  const hasGroff = (await run(['sh', '-c', 'command -v groff'], { timeoutMs: 30_000 })).code === 0
  for (const { name, text } of pages) {
    const requests = text.split('\n').filter((line) => line.startsWith('.'))
    expect(requests.filter((line) => !/^\.(TH|SH|SS|TP|PP|br)\b/.test(line))).toEqual([])
    if (!hasGroff) continue
    const file = join(dir, name)
    await writeFile(file, text)
    const { code, stdout, stderr } = await run(['groff', '-man', '-Tutf8', '-K', 'utf8', '-ww', '-rLL=100n', file], {
      timeoutMs: 30_000,
    })
    expect([name, code, stderr]).toEqual([name, 0, ''])
    expect(stdout).toContain('Rackward 1.2.3')
  }
})

test('the build writes them', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-man-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  await runOk([process.execPath, RACKWARD_MAIN, 'man', join(dir, 'man')], { timeoutMs: 30_000 })
  expect((await readdir(join(dir, 'man'))).sort()).toEqual(pages.map(({ name }) => name).sort())
})
