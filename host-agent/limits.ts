/** Limits for everything that a client of an arbiter's API can make grow: one schema with defaults, part of the
 *  configuration as `limits`. */
import * as z from 'zod'

const count = (byDefault: number, describe: string) =>
  z.number().int().min(1).max(1_000_000).default(byDefault).describe(describe)
const seconds = (byDefault: number, describe: string) =>
  z.number().min(0.1).max(86_400).default(byDefault).describe(describe)

export const AgentLimits = z
  .strictObject({
    api: z
      .strictObject({
        connections: count(500, 'Open connections of one API listener.'),
        connectionsPerAddress: count(64, 'Open connections of one API listener from one address.'),
        headersBytes: count(16 * 1024, 'Size of the headers of a request.'),
        requestSeconds: seconds(20, 'Time for a whole request to arrive.'),
        idleSeconds: seconds(60, 'Time that a connection may be idle, or that a client may leave its answer unread.'),
        bodyBytes: count(64 * 1024, 'Size of a request body.'),
        jsonDepth: count(10, 'Nesting of a JSON document.'),
        failedLoginsPerMinute: count(
          10,
          'Failed logins of one user from one address in a minute; ten times as many from one address in all.',
        ),
        passwordChecks: count(1, 'Passwords that are checked at the same time, each in a thread of its own.'),
        passwordQueue: count(64, 'Passwords that wait to be checked; more are answered with 429.'),
      })
      .prefault({})
      .describe('Of the API of an arbiter.'),
  })
  .prefault({})

export type AgentLimits = z.infer<typeof AgentLimits>
