/** The web console, as the configuration has it. */
import * as z from 'zod'

export const Ui = z
  .union([
    z.boolean(),
    z.strictObject({
      readOnly: z
        .boolean()
        .default(false)
        .describe(
          'Whether the console shows and changes nothing: the API refuses every change by a session of a browser.',
        ),
    }),
  ])
  .default(true)
  .describe('The web console, which the API serves at /ui/; false: it does not.')
