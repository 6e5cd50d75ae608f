/** What is done with a rack that another run left running: look at it, kill a server, ask its API. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LabArgs } from './args.ts'
import { ApiClient } from './client.ts'
import { playOf } from './ha/open.ts'
import { killText } from './ha/play.ts'
import { Rack } from './rack.ts'
import { RACKWARD_MAIN } from './root.ts'
import type { Server } from './server.ts'
import { inNamespace } from './shell.ts'

export interface LabState {
  readonly password: string
  readonly servers: readonly Server[]
  /** URL of the web console. */
  readonly console?: string
  /** The machine of the first of several conductors. */
  readonly within?: { readonly namespace: string; readonly dir: string }
}

export const labDir = (name: string) => `/var/tmp/rackward-${name}`
export const say = (line: string) => void process.stderr.write(`${line}\n`)
export const stateOf = async (dir: string) => JSON.parse(await readFile(join(dir, 'lab.json'), 'utf8')) as LabState
export const apiOf = (rack: Rack, state: LabState) =>
  new ApiClient(join(rack.dir, 'api.sock'), { user: 'admin', password: state.password })

const noneText = (name: string) => `no rack named "${name}" is up; start one with: npm run lab`

async function running(args: LabArgs): Promise<{ rack: Rack; api: ApiClient }> {
  const dir = labDir(args.name)
  if (!existsSync(join(dir, 'lab.json'))) throw new Error(noneText(args.name))
  const state = await stateOf(dir)
  const rack = new Rack(args.name, dir, 'tcg')
  rack.servers.push(...state.servers)
  return { rack, api: apiOf(rack, state) }
}

export async function status(args: LabArgs): Promise<boolean> {
  if (!existsSync(join(labDir(args.name), 'lab.json'))) {
    process.stdout.write(`${noneText(args.name)}\n`)
    return true
  }
  const { rack, api } = await running(args)
  const { nodes } = (await api.ok('GET', '/v1/nodes?fields=name,provision_state,power_state,last_error')) as {
    nodes: Record<string, string | null>[]
  }
  for (const node of nodes)
    process.stdout.write(
      `${String(node.name).padEnd(10)} ${String(node.power_state).padEnd(10)} ${String(node.provision_state).padEnd(16)} ${node.last_error ?? ''}\n`,
    )
  const { console: url } = await stateOf(rack.dir)
  if (url) process.stdout.write(`\n${consoleText(url, rack.dir)}\n`)
  return true
}

export const consoleText = (url: string, dir: string): string =>
  `web console  ${url}\n  user       admin\n  password   cut -d' ' -f6 ${dir}/netrc`

export async function killVerb(args: LabArgs): Promise<boolean> {
  const { rack, api } = await running(args)
  const server = rack.servers.find(({ name }) => name === args.server)
  if (!server) throw new Error(`there is no server ${args.server}: ${rack.servers.map(({ name }) => name).join(', ')}`)
  const kill = await playOf(rack, api, say).kill(server, args.freeze ? 'freeze' : 'power cut')
  process.stdout.write(args.json ? `${JSON.stringify(kill)}\n` : `\n${killText(kill)}\n`)
  return true
}

/** The command line of users, with where the rack's API is and as whom to ask it. The doctor looks at the machine that
 *  the conductor has, which is the rack's namespace. */
export async function rackward(args: LabArgs): Promise<boolean> {
  const { rack } = await running(args)
  const { password, within = { namespace: rack.namespace, dir: rack.dir } } = await stateOf(rack.dir)
  const env = {
    ...process.env,
    RACKWARD_SERVER: `unix:${join(rack.dir, 'api.sock')}`,
    RACKWARD_USER: 'admin',
    RACKWARD_PASSWORD: password,
    OS_CLOUD: '',
  }
  const argv = [process.execPath, RACKWARD_MAIN, ...args.words]
  const isDoctor = args.words[0] === 'doctor'
  const own = ['--config', join(within.dir, 'conductor.yaml'), '--agent-config', join(rack.dir, 'no-agent.yaml')]
  const [command = '', ...words] =
    isDoctor && !args.words.includes('--config') ? inNamespace(within.namespace, [...argv, ...own]) : argv
  const child = spawn(command, words, { stdio: 'inherit', env })
  process.exitCode = await new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? 1)))
  return process.exitCode === 0
}
