/** Hooks as they are configured, with their secrets. */
import type * as z from 'zod'
import { Fault } from '../../kit/fault.ts'
import { readHookSecret } from '../../kit/webhook.ts'
import type { Config } from '../config.ts'
import type { Hook } from '../config-webhooks.ts'

export interface HookConfig extends Omit<z.infer<typeof Hook>, 'secretFile'> {
  readonly secret: string
}

/** Throws `config.invalid`. */
export async function readHooks({ hooks, mesh }: Pick<Config, 'hooks' | 'mesh'>): Promise<HookConfig[]> {
  const names = new Set<string>()
  return Promise.all(
    hooks.map(async ({ secretFile, ...hook }, i) => {
      if (names.has(hook.name)) throw new Fault('config.invalid', `hooks.${i}.name: another hook is ${hook.name}`)
      names.add(hook.name)
      if (hook.act !== 'maintenance' && !mesh)
        throw new Fault('config.invalid', `hooks.${i}.act: ${hook.act} needs a mesh: set mesh.arbiters`)
      const secret = await readHookSecret(secretFile, `hooks.${i}.secretFile`)
      if (!/^[\x21-\x7e]+$/.test(secret))
        throw new Fault('config.invalid', `hooks.${i}.secretFile: the secret is printable ASCII without spaces`)
      return { ...hook, secret }
    }),
  )
}
