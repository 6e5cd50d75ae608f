/** Masakari's API in front of the mesh, where it is configured. */
import { Fault } from '../../kit/fault.ts'
import { MasakariFollow } from '../masakari/follow.ts'
import { Masakari } from '../masakari/service.ts'
import { started, type Context } from './context.ts'
import type { Mesh } from './mesh.ts'
import type { Monitoring } from './monitoring.ts'
import type { Doubting } from './doubt.ts'
import type { Storage } from './storage.ts'

export async function startMasakari(
  context: Context,
  {
    store,
    owner,
    link,
    onLimit,
  }: Pick<Storage & Doubting, 'store' | 'owner'> & Pick<Mesh, 'link'> & Pick<Monitoring, 'onLimit'>,
): Promise<Masakari | undefined> {
  const { config, clock, random, log } = context
  if (!config.masakari) return undefined
  if (!link) throw new Fault('config.invalid', 'masakari: needs a mesh to stand in front of: set mesh.arbiters')
  const limits = config.limits.masakari
  const masakari = new Masakari({ store, link, clock, random, limits, onLimit })
  const onDuty = () => owner?.holds('housekeeping') ?? true
  await started(context, 'masakari', new MasakariFollow({ masakari, store, link, clock, log, limits, onDuty }))
  return masakari
}
