/** What /rackward/v1/image-series and /rackward/v1/image-status take and answer. */
import * as z from 'zod'

export const VersionBody = z.strictObject({
  version: z.string().max(64),
  image: z
    .string()
    .max(128)
    .optional()
    .describe('name or id of an image of the store; otherwise the name of the series'),
})

export const ChannelBody = z.strictObject({ version: z.string().max(64) })

export const SeriesView = z.object({
  name: z.string(),
  versions: z.array(
    z.object({
      version: z.string(),
      image: z.string().describe('id of the image'),
      released_at: z.string(),
      by: z.string(),
    }),
  ),
  channels: z.array(
    z.object({
      channel: z.string(),
      version: z.string(),
      since: z.string(),
      by: z.string(),
      before: z.array(z.string()).describe('what it was before, the newest last'),
    }),
  ),
})
export type SeriesView = z.infer<typeof SeriesView>
export const SeriesList = z.object({ series: z.array(SeriesView) })
export type SeriesList = z.infer<typeof SeriesList>

export const StatusQuery = z.strictObject({
  behind: z.enum(['true', 'false']).default('false').describe('only nodes that are behind their channel'),
  limit: z.coerce.number().int().min(1).max(1_000).default(200).describe('nodes of a page that are looked at'),
  marker: z.uuid().optional().describe('`next` of the page before'),
})
export type StatusQuery = z.infer<typeof StatusQuery>

const Given = z.object({
  source: z.string().describe('image_source of its last deploy'),
  image: z.string().nullable().describe('id of the image that this was then; null: its deploy has not chosen one yet'),
  series: z.string().nullable(),
  version: z.string().nullable(),
  channel: z.string().nullable(),
  wanted: z.string().nullable().describe('version that the channel is at now'),
  behind: z.boolean().nullable().describe('null: it follows no channel, or its deploy is not done'),
  deploy: z.enum(['done', 'under way', 'failed']).default('done').describe('of this image'),
  on_disk: z
    .object({ source: z.string(), image: z.string() })
    .nullable()
    .default(null)
    .describe('null: nobody knows, for the deploy has begun to write and is not done'),
})
export type GivenView = z.infer<typeof Given>
export const ImageOfNode = z.object({
  image: Given.nullable().describe('null: it has no instance, or was deployed by a conductor that kept no image'),
})
export type ImageOfNode = z.infer<typeof ImageOfNode>

const NodeImage = z.object({
  uuid: z.string(),
  name: z.string().nullable(),
  provision_state: z.string(),
  ...Given.shape,
})
export type NodeImage = z.infer<typeof NodeImage>
export const ImageStatus = z.object({
  nodes: z.array(NodeImage),
  next: z.string().nullable().describe('the marker of the next page'),
})
export type ImageStatus = z.infer<typeof ImageStatus>
