/** A symbolic link is pointed elsewhere in one step, and nothing else gives way to it. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { linkWhole } from '../../kit/files.ts'

test('a link is made, pointed elsewhere, and refused where a file is', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-link-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  for (const name of ['a', 'b']) {
    await writeFile(join(dir, name), name)
    await linkWhole(join(dir, 'link'), join(dir, name))
    expect(await readFile(join(dir, 'link'), 'utf8')).toBe(name)
  }
  await expect(linkWhole(join(dir, 'a'), join(dir, 'b'))).rejects.toThrow('is no symbolic link')
  expect(await readFile(join(dir, 'a'), 'utf8')).toBe('a')
  expect((await readdir(dir)).sort()).toEqual(['a', 'b', 'link'])
})
