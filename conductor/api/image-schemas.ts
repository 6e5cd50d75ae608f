/** What the API says of images that were removed because nobody needs them. */
import * as z from 'zod'

const Stored = {
  id: z.string(),
  names: z.array(z.string()),
  stored_bytes: z.number().int(),
  used_at: z.string().describe('when it was last written, named, or asked for by a deploy'),
}

export const ImagesCollected = z.object({
  dry_run: z.boolean().describe('nothing was removed'),
  removed: z.array(z.object(Stored)),
  kept: z.array(z.object({ ...Stored, why: z.string() })),
})
export type ImagesCollected = z.infer<typeof ImagesCollected>
