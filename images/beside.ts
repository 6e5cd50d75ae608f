/** What a build leaves beside the index of an image. It is said of the content, and holds for another copy of it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeWhole } from '../kit/files.ts'

const BESIDE = ['sbom.cdx.json', 'signature.json'] as const
export type Beside = (typeof BESIDE)[number]

/** From the directory of one copy into that of another, which has none of its own. */
export async function carryOver(from: string, to: string): Promise<void> {
  for (const name of BESIDE) {
    const [old, made] = await Promise.all([from, to].map((directory) => textOf(join(directory, name))))
    if (old !== undefined && made === undefined) await writeWhole(join(to, name), old, 0o644)
  }
}

const textOf = (path: string): Promise<string | undefined> => readFile(path, 'utf8').catch(() => undefined)
