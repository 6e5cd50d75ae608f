/** Making a mesh and inviting into it: init on the first arbiter, invite on an arbiter for each further node, join on
 *  that node. A bundle holds what a node needs to get in, for that node alone; it is a secret. */
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import * as z from 'zod/mini'
import { Consul } from '../../kit/consul.ts'
import { Fault } from '../../kit/fault.ts'
import { parsedOr, parseJson } from '../../kit/json.ts'
import type { Random } from '../../kit/random.ts'
import { runOkWith, type Run } from '../../kit/run.ts'
import { consulConfig, DATACENTER, parseVersion, policyRules, type ConsulVersion } from './consul-config.ts'
import { HOST_NAME } from '../protocol/names.ts'

export interface SetupParts {
  readonly run: Run
  readonly random: Random
  readonly binary: string
}

const Bundle = z.object({
  format: z.literal('rackward mesh bundle 1'),
  name: z.string().check(z.regex(HOST_NAME)),
  role: z.enum(['host', 'arbiter']),
  join: z.array(z.string()),
  gossipKey: z.string(),
  token: z.string(),
  ca: z.string(),
  cert: z.optional(z.string()),
  key: z.optional(z.string()),
})
export type Bundle = z.infer<typeof Bundle>

const TIMEOUT_MS = 20_000
const CONFIG = 'rackward.json'

/** Writes the first arbiter's Consul configuration under `directory`. Refuses to overwrite a mesh. */
export async function initMesh(
  options: { name: string; address: string; directory: string },
  parts: SetupParts,
): Promise<{ configDirectory: string; tokenFile: string }> {
  checkName(options.name)
  const at = places(options.directory)
  if (await exists(at.management))
    throw new Fault('object.conflict', `${options.directory} has a mesh already; remove it first if it shall go`)
  const version = await versionOf(parts)
  await mkdir(at.tls, { recursive: true, mode: 0o700 })
  await chmod(options.directory, 0o700)
  await consulTls(parts, at.tls, ['ca', 'create', '-domain=consul'])
  const server = await serverCertificate(parts, at.tls)
  const [management, token] = [parts.random.uuid(), parts.random.uuid()]
  const shared = { gossipKey: parts.random.bytes(32).toString('base64'), first: options.address }
  await secret(at.management, management)
  await secret(at.shared, JSON.stringify(shared))
  await secret(at.token, token)
  const tls = { ca: join(at.tls, 'consul-agent-ca.pem'), cert: server.certFile, key: server.keyFile }
  // The first server has nobody to ask for a token of its own: the management token makes that one at the first start.
  const config = consulConfig({
    version,
    name: options.name,
    server: true,
    address: options.address,
    dataDir: at.data,
    gossipKey: shared.gossipKey,
    begins: true,
    join: [],
    token,
    managementToken: management,
    tls,
  })
  await writeConfig(at, config)
  return { configDirectory: at.config, tokenFile: at.token }
}

/** The token of the first arbiter exists only once Consul runs with a leader. After that it must never begin a cluster
 *  again, were its data lost: two clusters would be two truths. May be repeated. */
export async function finishInit(options: { name: string; directory: string; url: string }): Promise<boolean> {
  const at = places(options.directory)
  const management = (await readFile(at.management, 'utf8')).trim()
  const token = (await readFile(at.token, 'utf8')).trim()
  const consul = new Consul({ url: options.url, token: management })
  try {
    const known = await consul.call('GET', '/v1/acl/token/self').catch(() => undefined)
    if (known?.status !== 200) return false
    await makeToken(consul, { name: options.name, role: 'arbiter', secretId: token })
    const file = join(at.config, CONFIG)
    const { bootstrap_expect: _, ...config } = parseJson(
      await readFile(file, 'utf8'),
      'config.invalid',
      file,
    ) as Record<string, unknown>
    await secret(file, `${JSON.stringify({ ...config, retry_join: await serversOf(consul) }, null, 2)}\n`)
    return true
  } finally {
    consul.close()
  }
}

/** On an arbiter that has the management token: a bundle for one more node. */
export async function invite(
  options: { name: string; role: 'host' | 'arbiter'; directory: string; url: string },
  parts: SetupParts,
): Promise<Bundle> {
  checkName(options.name)
  const at = places(options.directory)
  const management = await readFile(at.management, 'utf8').catch((error: Error) => {
    throw new Fault(
      'object.missing',
      `${at.management} cannot be read: invite on the arbiter where the mesh was made (${error.message})`,
      { cause: error },
    )
  })
  const shared = parseJson(await readFile(at.shared, 'utf8'), 'config.invalid', at.shared) as {
    gossipKey: string
    first: string
  }
  const consul = new Consul({ url: options.url, token: management.trim() })
  try {
    const token = parts.random.uuid()
    await makeToken(consul, { name: options.name, role: options.role, secretId: token })
    const servers = await serversOf(consul)
    const server = options.role === 'arbiter' ? await serverCertificate(parts, at.tls) : undefined
    return {
      format: 'rackward mesh bundle 1',
      name: options.name,
      role: options.role,
      join: servers.length > 0 ? servers : [shared.first],
      gossipKey: shared.gossipKey,
      token,
      ca: await readFile(join(at.tls, 'consul-agent-ca.pem'), 'utf8'),
      ...(server ? { cert: await readFile(server.certFile, 'utf8'), key: await readFile(server.keyFile, 'utf8') } : {}),
    }
  } finally {
    consul.close()
  }
}

/** On the node that was invited. */
export async function joinMesh(
  options: { bundle: string; address: string; directory: string; name?: string },
  parts: SetupParts,
): Promise<{ name: string; configDirectory: string; tokenFile: string }> {
  const parsed = Bundle.safeParse(parsedOr(options.bundle, undefined))
  if (!parsed.success)
    throw new Fault('input.invalid', 'this is no bundle of a mesh (make one with: rackward mesh invite NAME)')
  const bundle = parsed.data
  if (options.name !== undefined && bundle.name !== options.name)
    throw new Fault('input.invalid', `the bundle invites ${bundle.name}, and this node is ${options.name}`)
  const at = places(options.directory)
  const version = await versionOf(parts)
  await mkdir(at.tls, { recursive: true, mode: 0o700 })
  const ca = join(at.tls, 'consul-agent-ca.pem')
  await secret(ca, bundle.ca)
  const own =
    bundle.cert && bundle.key ? { cert: join(at.tls, 'server.pem'), key: join(at.tls, 'server-key.pem') } : undefined
  if (own) {
    await secret(own.cert, bundle.cert ?? '')
    await secret(own.key, bundle.key ?? '')
  }
  await secret(at.token, bundle.token)
  const server = bundle.role === 'arbiter'
  await writeConfig(
    at,
    consulConfig({
      version,
      name: bundle.name,
      server,
      address: options.address,
      dataDir: at.data,
      gossipKey: bundle.gossipKey,
      begins: false,
      join: bundle.join,
      token: bundle.token,
      tls: { ca, ...own },
    }),
  )
  return { name: bundle.name, configDirectory: at.config, tokenFile: at.token }
}

const places = (directory: string) => {
  const root = resolve(directory)
  return {
    config: join(root, 'config'),
    data: join(root, 'data'),
    tls: join(root, 'tls'),
    token: join(root, 'token'),
    management: join(root, 'management.token'),
    shared: join(root, 'shared.json'),
  }
}

async function makeToken(
  consul: Consul,
  about: { name: string; role: 'host' | 'arbiter'; secretId: string },
): Promise<void> {
  const policy = `rackward-${about.role}-${about.name}`
  const want = async (path: string, body: unknown, tolerate: RegExp) => {
    const { status, body: said } = await consul.call('PUT', path, body)
    if (status !== 200 && !tolerate.test(String(said)))
      throw new Fault('consul.failed', `Consul answered ${status} to ${path}: ${String(said).slice(0, 200)}`)
  }
  await want(
    '/v1/acl/policy',
    { Name: policy, Rules: policyRules(about.name, about.role) },
    /already exists|Invalid Policy: A Policy with Name/i,
  )
  await want(
    '/v1/acl/token',
    { SecretID: about.secretId, Description: `rackward ${about.role} ${about.name}`, Policies: [{ Name: policy }] },
    /already (in use|exists)/i,
  )
}

async function serversOf(consul: Consul): Promise<string[]> {
  const { status, body } = await consul.call('GET', '/v1/status/peers')
  return status === 200 ? (body as string[]).map((peer) => peer.replace(/:\d+$/, '')) : []
}

/** A server's name in its certificate is what verify_server_hostname looks for. */
async function serverCertificate(parts: SetupParts, directory: string): Promise<{ certFile: string; keyFile: string }> {
  const said = await consulTls(parts, directory, ['cert', 'create', '-server', `-dc=${DATACENTER}`])
  const name = /Saved (\S+-server-\S+?\d+)\.pem/.exec(said)?.[1]
  if (!name) throw new Fault('consul.failed', `consul tls said nothing of a certificate: ${said.slice(0, 300)}`)
  return { certFile: join(directory, `${basename(name)}.pem`), keyFile: join(directory, `${basename(name)}-key.pem`) }
}

const consulTls = (parts: SetupParts, cwd: string, args: readonly string[]): Promise<string> =>
  runOkWith(parts.run, [parts.binary, 'tls', ...args], { timeoutMs: TIMEOUT_MS, cwd })

async function versionOf(parts: SetupParts): Promise<ConsulVersion> {
  const version = parseVersion(await runOkWith(parts.run, [parts.binary, 'version'], { timeoutMs: TIMEOUT_MS }))
  if (!version || (version.major === 1 && version.minor < 8))
    throw new Fault('config.invalid', 'Consul 1.8 or newer is needed')
  return version
}

async function writeConfig(at: ReturnType<typeof places>, config: Record<string, unknown>): Promise<void> {
  await mkdir(at.config, { recursive: true, mode: 0o700 })
  await mkdir(at.data, { recursive: true, mode: 0o700 })
  await secret(join(at.config, CONFIG), `${JSON.stringify(config, null, 2)}\n`)
}

async function secret(path: string, text: string): Promise<void> {
  await writeFile(path, text, { mode: 0o600 })
  await chmod(path, 0o600)
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )

function checkName(name: string): void {
  if (!HOST_NAME.test(name)) throw new Fault('input.invalid', `${JSON.stringify(name.slice(0, 64))} is not a host name`)
}
