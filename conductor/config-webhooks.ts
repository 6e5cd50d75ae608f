/** Webhooks: where events are posted to, and in which format; hooks: what an alert that is posted here leads to. */
import * as z from 'zod'
import { FORMATS } from './events/formats.ts'
import { File, Url } from './config-values.ts'

export const Webhook = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,64}$/)
    .describe('Name in the log and in metrics.'),
  url: Url.describe('Where events are posted to.'),
  format: z
    .enum(FORMATS)
    .default('rackward')
    .describe(
      'What is posted: `rackward` (signed), `alertmanager` (POST /api/v2/alerts) or `cloudevents` with the secret as ' +
        'bearer token, `slack` with the secret as the end of the URL, `pagerduty` (Events API v2) with the secret as ' +
        'routing key.',
    ),
  kinds: z.array(z.string()).optional().describe('Kinds of events that are posted. Absent: all.'),
  secretFile: File.describe(
    'File of mode 0600 with the secret that signs each post, or that its receiver knows (see `format`).',
  ),
})

const Name = z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/)

/** None of them ends anything: a fence is not among them. */
export const HOOK_ACTS = ['hint', 'maintenance', 'drain'] as const
export const HOOK_SENDERS = ['alertmanager', 'aodh'] as const

export const Hook = z.strictObject({
  name: Name.describe('The end of its path: /rackward/v1/hooks/NAME.'),
  from: z.enum(HOOK_SENDERS).default('alertmanager').describe('Whose alerts it reads.'),
  act: z
    .enum(HOOK_ACTS)
    .describe(
      'What an alert leads to: `hint` makes the mesh look at the host now, `maintenance` puts the node into ' +
        'maintenance, `drain` moves the instances of the host away. None of them fences.',
    ),
  label: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/)
    .default('instance')
    .describe('The label of an alert that names the host or the node; a port at its end is left out.'),
  only: z
    .array(z.string().min(1).max(255))
    .max(10_000)
    .optional()
    .describe('Hosts and nodes that it may act on. Absent: all.'),
  atOnce: z
    .number()
    .int()
    .min(1)
    .max(1_000)
    .default(2)
    .describe('Nodes or hosts that it holds at the same time; further alerts are refused.'),
  auth: z
    .enum(['token', 'hmac'])
    .default('token')
    .describe(
      'How a request proves that it is genuine: `token`, the secret as bearer token or as HTTP basic password, or ' +
        '`hmac`, X-Rackward-Signature as our own webhooks carry it.',
    ),
  secretFile: File.describe('File of mode 0600 with the secret; at least 16 characters.'),
})
