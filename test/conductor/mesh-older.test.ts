/** The API of the mesh in front of arbiters of version 0.2, which cannot leave the hold of another: such a hold is
 *  refused in plain words. */
import { expect, test } from 'vitest'
import { meshRoutes, type MeshParts } from '../../conductor/api/mesh.ts'
import type { ApiRequest } from '../../conductor/api/route.ts'
import { ANYBODY } from '../../conductor/api/auth.ts'

/** Refuses a field that it does not know, as they do. */
const link = {
  request: async (_method: string, _path: string, { body }: { body?: object }) =>
    'unless_held' in (body ?? {})
      ? { status: 400, body: { message: 'the body: Unrecognized key: "unless_held"' } }
      : { status: 200, body: { host: 'h1' } },
}
const setHold = async (body: object) => {
  const routes = meshRoutes({ link } as unknown as MeshParts)
  const route = routes.find(({ method, path }) => method === 'put' && path.endsWith('/hold'))
  return route?.handle({ actor: ANYBODY, params: { host: 'h1' }, body } as unknown as ApiRequest, {})
}

test('an arbiter that cannot leave the hold of another is told as that; without the wish, the hold is set', async () => {
  const hold = { kind: 'maintenance', why: 'fans' }
  await expect(setHold({ ...hold, unless_held: true })).rejects.toMatchObject({
    code: 'object.conflict',
    message: expect.stringContaining('it would end any hold that h1 has, so look first') as string,
  })
  expect(await setHold(hold)).toMatchObject({ status: 200 })
})
