/** What the clients run against: two conductors of fake hardware on free ports of 127.0.0.1, one without a login and
 *  one with passwords, and the clouds.yaml in which OpenStack's clients find them. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { until } from '../../kit/clock.ts'
import { Victim } from '../security/victim.ts'

const USER = 'admin'
/** Time of one command to fake hardware: short, but longer than a request. */
const ACT_SECONDS = 0.05

export interface Ground {
  readonly dir: string
  readonly noauth: string
  readonly basic: { readonly url: string; readonly user: string; readonly password: string }
  /** Bifrost's web server (the directory web of its work): its address, and the paths that it was asked for. */
  readonly web: Web
  /** A directory of a client's own, with clouds.yaml in it. */
  workOf(client: string): Promise<string>
  /** A node that can be deployed, without a login. */
  makeFree(name: string, resourceClass: string): Promise<void>
  /** One of its nodes. */
  node(name: string): Promise<Record<string, unknown>>
  /** Gives each node a power state: fake hardware has none before, in Ironic as well, and no module of Ansible gives it
   *  one. */
  givePower(at: 'noauth' | 'basic'): Promise<void>
  /** What is left to undo at the end, also after a signal. */
  onEnd(cleanup: () => Promise<unknown>): void
  /** The last words of both conductors' logs. */
  log(): Promise<string>
  end(): Promise<void>
}

export interface Web {
  readonly url: string
  asked(): readonly string[]
}

/** Names of the entries of clouds.yaml that reach the conductor without a login. */
export const SPELLINGS = ['endpoint', 'endpoint-v1', 'override', 'override-v1'] as const

export async function openGround(): Promise<Ground> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-clients-'))
  const undo: (() => Promise<unknown>)[] = [() => rm(dir, { recursive: true, force: true })]
  const end = async () => {
    for (const cleanup of undo.splice(0).reverse())
      await cleanup().catch((error: Error) => process.stderr.write(`${error.message}\n`))
  }
  try {
    const web = await serve(join(dir, 'bifrost/web'))
    undo.push(web.stop)
    const common = { fake: { delaySeconds: ACT_SECONDS }, provision: { configDriveUrls: [`${web.url}/`] } }
    const noauth = await Victim.start({ config: common })
    undo.push(() => noauth.remove())
    const withUsers = await Victim.start({ users: { [USER]: { role: 'admin' } }, config: common })
    undo.push(() => withUsers.remove())

    const basic = { url: withUsers.base, user: USER, password: `${USER}-password` }
    const clouds = stringify({ clouds: cloudsOf(noauth.base, basic) })
    return {
      dir,
      noauth: noauth.base,
      basic,
      web,
      async workOf(client) {
        const work = join(dir, client)
        await mkdir(work, { recursive: true })
        await writeFile(join(work, 'clouds.yaml'), clouds)
        return work
      },
      makeFree: (name, resourceClass) => makeFree(noauth, { name, resource_class: resourceClass }),
      node: async (name) => (await noauth.call('GET', `/v1/nodes/${name}`)).body as Record<string, unknown>,
      givePower: (at) => givePower(at === 'noauth' ? noauth : withUsers, at === 'noauth' ? {} : { user: USER }),
      onEnd: (cleanup) => void undo.push(cleanup),
      log: async () => `${(await noauth.log()).slice(-2_000)}\n${(await withUsers.log()).slice(-2_000)}`,
      end,
    }
  } catch (error) {
    await end()
    throw error
  }
}

const cloudsOf = (noauth: string, basic: Ground['basic']) => ({
  endpoint: { auth_type: 'none', auth: { endpoint: noauth } },
  'endpoint-v1': { auth_type: 'none', auth: { endpoint: `${noauth}/v1` } },
  override: { auth_type: 'none', baremetal_endpoint_override: noauth },
  'override-v1': { auth_type: 'none', baremetal_endpoint_override: `${noauth}/v1` },
  basic: { auth_type: 'http_basic', auth: { endpoint: basic.url, username: basic.user, password: basic.password } },
  wrong: { auth_type: 'http_basic', auth: { endpoint: basic.url, username: basic.user, password: 'not-it' } },
})

async function makeFree(conductor: Victim, node: { name: string; resource_class: string }): Promise<void> {
  const properties = { local_gb: 100 }
  await conductor.call('POST', '/v1/nodes', { ...node, driver: 'fake-hardware', properties })
  for (const [target, state] of [
    ['manage', 'manageable'],
    ['provide', 'available'],
  ] as const) {
    await conductor.call('PUT', `/v1/nodes/${node.name}/states/provision`, { target })
    await until(
      async () => {
        const { body } = await conductor.call('GET', `/v1/nodes/${node.name}`)
        return body.provision_state === state && body.reservation === null
      },
      { what: `${node.name} to be ${state}`, timeoutMs: 30_000, everyMs: 100 },
    )
  }
  await givePower(conductor, {})
}

async function givePower(conductor: Victim, as: { user?: string }): Promise<void> {
  const nodes = async () => {
    const { body } = await conductor.call('GET', '/v1/nodes?fields=uuid,power_state', undefined, as)
    return (body as { nodes: { uuid: string; power_state: string | null }[] }).nodes
  }
  for (const { uuid, power_state } of await nodes())
    if (power_state === null) await conductor.call('PUT', `/v1/nodes/${uuid}/states/power`, { target: 'power off' }, as)
  await until(async () => (await nodes()).every(({ power_state }) => power_state !== null), {
    what: 'all nodes to have a power state',
    timeoutMs: 30_000,
    everyMs: 100,
  })
}

/** Serves the files of a directory. */
async function serve(dir: string): Promise<Web & { stop: () => Promise<unknown> }> {
  const asked: string[] = []
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    asked.push(path)
    readFile(join(dir, path.split('/').at(-1) ?? '')).then(
      (body) => response.end(body),
      () => response.writeHead(404).end(),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const stop = () =>
    new Promise((resolve) => {
      server.close(resolve)
      server.closeAllConnections()
    })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked: () => asked, stop }
}
