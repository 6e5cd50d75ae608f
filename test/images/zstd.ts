/** One zstd frame, unpacked by the real program. */
import { piped } from '../../kit/run.ts'

export async function zstdDecompress(frame: Buffer): Promise<Buffer> {
  const child = piped(['zstd', '-dc', '-q'])
  child.stdin.end(frame)
  const chunks: Buffer[] = []
  for await (const chunk of child.stdout) chunks.push(chunk as Buffer)
  await child.done
  return Buffer.concat(chunks)
}
