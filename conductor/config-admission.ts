/** The configuration key `admission`: how many servers boot and fetch at once. */
import * as z from 'zod'

const count = (byDefault: number, describe: string) =>
  z.number().int().min(1).max(100_000).default(byDefault).describe(describe)

const range = (what: string, [least, start, most]: readonly [number, number, number]) =>
  z
    .strictObject({
      least: count(least, 'Never fewer.'),
      start: count(start, 'As many when the conductor starts.'),
      most: count(most, 'Never more.'),
    })
    .refine(({ least, start, most }) => least <= start && start <= most, 'least, start and most must not fall')
    .prefault({})
    .describe(what)

const optional = (describe: string) => z.number().int().min(1).max(100_000).optional().describe(describe)

export const AdmissionConfig = z.strictObject({
  enabled: z.boolean().default(true).describe('Whether orders wait until there is room for one more server.'),
  boots: range(
    'Servers that are on their way into the ramdisk. The number grows while they take their usual time, and is halved when they slow each other down or fail.',
    [4, 32, 256],
  ),
  writes: range('The same for servers that are deployed, until their image is written.', [4, 32, 256]),
  perRack: optional('Servers of one rack (extra/rackward/rack) at once: what its power bears. Absent: any number.'),
  perGroup: optional(
    'Servers of one group that stand in for each other (extra/rackward/ha_group) at once. Absent: any number.',
  ),
})
