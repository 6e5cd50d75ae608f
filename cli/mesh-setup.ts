/** `rackward mesh init|invite|join`: what is done on the machines themselves, before there is anything to ask. */
import { readFile, writeFile } from 'node:fs/promises'
import { finishInit, initMesh, invite, joinMesh } from '../host-agent/setup/init.ts'
import { systemRandom } from '../kit/random.ts'
import { run } from '../kit/run.ts'
import { print } from './show.ts'
import { CliError } from './error.ts'

const parts = (consul: string) => ({ run, random: systemRandom, binary: consul })

export interface SetupOptions {
  readonly directory: string
  readonly consul: string
  readonly url: string
}

export async function init(
  name: string,
  options: SetupOptions & { address?: string; finish?: boolean },
): Promise<void> {
  if (options.finish) {
    if (!(await finishInit({ name, directory: options.directory, url: options.url })))
      throw new CliError(
        'unreachable',
        `Consul at ${options.url} does not lead yet: is the agent of ${name} running? Then do this again in a moment`,
      )
    return print(
      'The mesh is made. Invite the others, three arbiters in all: rackward mesh invite NAME [--arbiter] --out NAME.bundle',
    )
  }
  if (options.address === undefined)
    throw new CliError('usage', 'give --address, where the other nodes reach the Consul of this one')
  const made = await initMesh({ name, address: options.address, directory: options.directory }, parts(options.consul))
  print(`Consul is configured in ${made.configDirectory}, its token is in ${made.tokenFile}.
Next:
  1. in the configuration of the agent of ${name}, set
       consul: { tokenFile: ${made.tokenFile}, run: { configDirectory: ${made.configDirectory} } }
  2. start it: rackward agent --config FILE
  3. rackward mesh init ${name} --finish --directory ${options.directory}`)
}

export async function inviteOne(
  name: string,
  options: SetupOptions & { arbiter?: boolean; out?: string },
): Promise<void> {
  const bundle = await invite(
    { name, role: options.arbiter ? 'arbiter' : 'host', directory: options.directory, url: options.url },
    parts(options.consul),
  )
  const text = `${JSON.stringify(bundle, null, 2)}\n`
  if (options.out === undefined) process.stdout.write(text)
  else {
    await writeFile(options.out, text, { mode: 0o600 })
    print(
      `${options.out} lets ${name} in, and nobody else: bring it there, and do: rackward mesh join ${options.out} --address ADDRESS`,
    )
  }
}

export async function join(file: string, options: SetupOptions & { address: string }): Promise<void> {
  const bundle = await readFile(file === '-' ? '/dev/stdin' : file, 'utf8').catch((error: Error) =>
    Promise.reject(new CliError('usage', `cannot read ${file}: ${error.message}`)),
  )
  const made = await joinMesh({ bundle, address: options.address, directory: options.directory }, parts(options.consul))
  print(`Consul is configured in ${made.configDirectory}, its token is in ${made.tokenFile}.
Next: in the configuration of the agent of ${made.name}, set
  consul: { tokenFile: ${made.tokenFile}, run: { configDirectory: ${made.configDirectory} } }
and start it: rackward agent --config FILE`)
}
