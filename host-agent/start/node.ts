/** Who this node is, its way into the mesh, and its Consul client. */
import { chmod, mkdir, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { openConsul, type Consul } from '../../kit/consul.ts'
import { systemRandom } from '../../kit/random.ts'
import { loadIdentity, type Identity } from '../protocol/keys.ts'
import { superviseConsul } from '../setup/consul-agent.ts'
import { joinMesh } from '../setup/init.ts'
import type { Context } from './context.ts'

export interface Node {
  readonly identity: Identity
  readonly bootId: string
}

export async function openNode({ config }: Context): Promise<Node> {
  await mkdir(config.data, { recursive: true, mode: 0o700 })
  await chmod(config.data, 0o700)
  const identity = await loadIdentity(join(config.data, 'mesh.key'), config.name)
  return { identity, bootId: (await readFile(config.bootIdFile, 'utf8')).trim() }
}

/** The first start of an invited node, such as one whose config drive holds the bundle: as `rackward mesh join`
 *  does. */
export async function joinByBundle({ config, run, log }: Context): Promise<void> {
  const { name, consul, planes, data } = config
  if (consul.run === undefined) return
  const file = consul.bundleFile ?? join(data, 'bundle')
  const bundle = await readFile(file, 'utf8').catch(() => undefined)
  if (bundle === undefined) return

  const address = Object.values(planes)[0]?.address ?? ''
  const directory = dirname(consul.run.configDirectory)
  await joinMesh({ bundle, address, directory, name }, { run, random: systemRandom, binary: consul.run.binary })
  await rm(file)
  log.info({ name, address }, 'this node joined the mesh by its invitation')
}

/** The client, and the Consul agent itself where it is ours to run. */
export async function startConsul({ life, config, clock, log }: Context): Promise<Consul> {
  const consul = await life.add(
    'consul client',
    () => openConsul(config.consul),
    (client) => client.close(),
  )
  if (!config.consul.run) return consul

  const { binary, configDirectory } = config.consul.run
  const answers = () =>
    consul.call('GET', '/v1/status/leader').then(
      () => true,
      () => false,
    )
  await life.add(
    'consul',
    () => superviseConsul({ binary, configDirectory, answers, clock, log }),
    (running) => running.stop(),
  )
  return consul
}
