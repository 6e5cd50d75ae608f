/** The key under which the lab keeps its Debian: an image of a program that recorded less is made anew. */
import { afterEach, expect, test, vi } from 'vitest'

afterEach(() => {
  vi.doUnmock('../../images/index.ts')
  vi.resetModules()
})

async function keyWith(more: readonly string[]): Promise<string> {
  vi.resetModules()
  vi.doMock('../../images/index.ts', async (original) => {
    const real = await original<typeof import('../../images/index.ts')>()
    return { ...real, IMAGE_FIELDS: [...real.IMAGE_FIELDS, ...more] }
  })
  return (await import('../../images/recipes/debian.ts')).debianKey('x86_64')
}

test('another field that an import records is another key, and the same fields are the same one', async () => {
  const [one, again, other] = [await keyWith([]), await keyWith([]), await keyWith(['later'])]
  expect(again).toBe(one)
  expect(other).not.toBe(one)
})

test('the fields are those of the image, of its pieces, and of the kernel in it', async () => {
  const { IMAGE_FIELDS } = await import('../../images/index.ts')
  expect(IMAGE_FIELDS).toEqual(expect.arrayContaining(['signedLoader', 'sha256', 'modules', 'extents']))
})
