/** What the clients run against: two conductors of fake hardware on free ports of 127.0.0.1, one without a login and one with passwords, and the
 *  clouds.yaml in which OpenStack's clients find them. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { Victim } from '../security/victim.ts'

const USER = 'admin'
/** Time of one act of fake hardware: short, but longer than a request. */
const ACT_SECONDS = 0.05

export interface Ground {
  readonly dir: string
  readonly noauth: string
  readonly basic: { readonly url: string; readonly user: string; readonly password: string }
  /** A web server's directory, and its address. */
  readonly web: { readonly dir: string; readonly url: string }
  /** A directory of a client's own, with clouds.yaml in it. */
  workOf(client: string): Promise<string>
  /** The last words of both conductors' logs. */
  log(): Promise<string>
  end(): Promise<void>
}

/** Names of the entries of clouds.yaml that reach the conductor without a login. */
export const SPELLINGS = ['endpoint', 'endpoint-v1', 'override', 'override-v1'] as const

export async function openGround(): Promise<Ground> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-clients-'))
  const undo: (() => Promise<unknown>)[] = [() => rm(dir, { recursive: true, force: true })]
  const end = async () => {
    for (const act of undo.splice(0).reverse()) await act()
  }
  try {
    const web = await serve(join(dir, 'web'))
    undo.push(web.stop)
    const common = { fake: { delaySeconds: ACT_SECONDS } }
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

/** Serves the files of a directory, as Bifrost's web server does. */
async function serve(dir: string): Promise<{ dir: string; url: string; stop: () => Promise<unknown> }> {
  await mkdir(dir)
  const server = createServer((request, response) => {
    readFile(join(dir, (request.url ?? '').split('/').at(-1) ?? '')).then(
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
  return { dir, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop }
}
