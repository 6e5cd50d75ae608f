/** The commands of the README's sections "Only the API" and "From a shell" are run as they stand there, one after the
 *  other, by bash: only addresses, files of the machine and names of users
 *  are put in, and servers without hardware. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { until } from '../../kit/clock.ts'
import { launch } from '../../kit/run.ts'
import { freePort } from '../kit/free-port.ts'
import { endProcess } from '../lab/rack.ts'
import { RACKWARD_MAIN, ROOT } from '../lab/root.ts'
import { bash, endless, type Place } from './documented/shell.ts'

let dir = ''
let port = 0
let conductor: number | undefined
let readme = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-documented-'))
  readme = await readFile(join(ROOT, 'README.md'), 'utf8')
  port = await freePort()
  await mkdir(join(dir, 'bin'))
  await writeFile(join(dir, 'bin/rackward'), `#!/bin/sh\nexec ${process.execPath} ${RACKWARD_MAIN} "$@"\n`, {
    mode: 0o755,
  })
  await writeFile(join(dir, 'drive.yaml'), 'meta_data: { hostname: u07 }\n')
})
afterAll(async () => {
  if (conductor) endProcess(conductor, 'SIGKILL')
  await rm(dir, { recursive: true, force: true })
})

/** From its heading to the next one of the same or a higher rank. */
function section(heading: string): string {
  const at = readme.indexOf(`\n${heading}\n`)
  const rest = readme.slice(at + heading.length + 2)
  return at < 0 ? '' : rest.slice(0, rest.search(/^#{2,3} /m))
}
const commandsOf = (text: string): string[] =>
  text
    .replace(/^```[\s\S]*?^```/gm, '')
    .split('\n')
    .flatMap((line) => (line.startsWith('    ') ? [line.trim()] : []))

const put = (command: string): string =>
  command
    .replaceAll('localhost:6385', `127.0.0.1:${port}`)
    .replace('--port 6385', `--port ${port}`)
    .replace('--data /tmp/rackward', `--data ${dir}/data`)
    .replace('dist/bundle/main.js', RACKWARD_MAIN)

const placeOf = (): Place => ({
  cwd: dir,
  env: {
    PATH: `${dir}/bin:${process.env.PATH}`,
    OS_CLOUD: '',
    OS_ENDPOINT: '',
    RACKWARD_SERVER: `http://127.0.0.1:${port}`,
    HOME: dir,
  },
})
const typed = (script: string) => bash(script, placeOf())
/** What goes on until somebody ends it, and what it says. */
const ENDLESS = [
  [/^rackward node watch/, /u07/],
  [/^rackward node console/, /fake console/],
] as const

test('the API is tried as the section "Only the API" says', async () => {
  const [start = '', ...requests] = commandsOf(section('### Only the API'))
  expect(requests.length).toBeGreaterThan(1)
  conductor = launch(['bash', '-c', `exec ${put(start.replace(/\s+# .*/, ''))}`])
  const alive = () =>
    fetch(`http://127.0.0.1:${port}/v1`).then(
      ({ ok }) => ok,
      () => false,
    )
  await until(alive, { what: 'the conductor of the README', timeoutMs: 60_000 })
  for (const request of requests) {
    const { code, stdout, stderr } = await typed(put(request))
    expect([request, code, stderr]).toEqual([request, 0, ''])
    expect(stdout).not.toContain('error_message')
  }
  const shown = await typed(`curl -s -H 'OpenStack-API-Version: baremetal latest' 127.0.0.1:${port}/v1/nodes/n1`)
  expect(JSON.parse(shown.stdout)).toMatchObject({ name: 'n1', driver: 'fake-hardware' })
})

test('the command line does what the section "From a shell" shows', async () => {
  const text = section('### From a shell')
  const [, rack = ''] = /```yaml\n([\s\S]*?)```/.exec(text) ?? []
  const commands = commandsOf(text).filter((line) => !line.startsWith('export '))
  expect(commands.map((line) => line.split(/\s+/).slice(0, 3).join(' '))).toEqual(
    expect.arrayContaining([
      'rackward node enroll',
      'rackward node provide',
      'rackward node deploy',
      'rackward node watch',
    ]),
  )
  const { nodes } = parse(rack) as { nodes: readonly Record<string, unknown>[] }
  const [first = {}] = nodes
  // The others "in the same way", and all of them without hardware.
  const three = ['u07', 'u08', 'u09'].map((name) => ({
    ...first,
    name,
    driver: 'fake-hardware',
    ports: [`52:54:00:00:00:${name.slice(1)}`],
  }))
  expect(nodes).toMatchObject([{ name: 'u07', ports: three[0]?.ports }])
  await writeFile(join(dir, 'rack.yaml'), stringify({ nodes: three }))
  for (const line of commands) {
    const command = line.replace(/\s+# .*/, '')
    const [, says] = ENDLESS.find(([words]) => words.test(command)) ?? []
    if (says) {
      let isOver = false
      const saying = endless(command, says, placeOf()).finally(() => (isOver = true))
      saying.catch(() => undefined)
      // Who watches hears what happens from then on: something does, until it was heard.
      while (!isOver) await typed('rackward node maintenance on u07 && rackward node maintenance off u07')
      await saying
      continue
    }
    const { code, stderr } = await typed(command)
    expect([line, code === 0 ? 'as wanted' : `${code}: ${stderr}`]).toEqual([line, 'as wanted'])
  }
  const { stdout } = await typed('rackward node list -o json')
  const node = (JSON.parse(stdout) as { name: string; provision_state: string }[]).find(({ name }) => name === 'u07')
  expect(node).toMatchObject({ provision_state: 'active' })
})
