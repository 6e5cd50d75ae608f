/** What /rackward/v1 answers, as schemas: the source of its OpenAPI document, and what tests hold its answers
 *  against. */
import * as z from 'zod'

const Time = z.string().describe('ISO 8601, UTC')
const Seconds = z.number().min(0)

export const Event = z.object({
  seq: z.number().int(),
  at: Time,
  kind: z.string(),
  node_uuid: z.string().nullable(),
  detail: z.record(z.string(), z.unknown()),
})
export const Events = z.object({
  events: z.array(Event),
  last_seq: z.number().int().describe('pass it as `after` to continue'),
})

const Lock = z.object({
  holder: z.string().describe('the conductor; when it dies, it or another continues with the pending effects'),
  since: Time,
  reason: z.string(),
  pending_effects: z.array(z.string()),
  tries: z.number().int(),
  retry_at: Time.nullable(),
})
export const Locked = z.object({ lock: Lock.nullable() })
export const LockBroken = z.object({ provision_state: z.string(), abandoned: z.array(z.string()) })

export const PortAccount = z.object({
  uuid: z.string(),
  address: z.string(),
  card: z.string().nullable().describe('the model of the card, by its PCI ids; null: it was not inspected'),
  switch_port: z
    .object({
      circuit_id: z.string().nullable().describe('the port, as the switch names it; hexadecimal where it is no text'),
      remote_id: z.string().nullable().describe('the switch, as it names itself'),
      relay: z.string().nullable().describe('address of the relay that passed the request on'),
      seen_at: Time,
    })
    .nullable()
    .describe('from what relays and switches add to DHCP requests (option 82, RFC 3046)'),
  loader: z
    .object({
      file: z.string(),
      worked: z.boolean().describe('whether it brought a boot to its script'),
      silent: z.array(z.string()).describe('loaders that were fetched before it and not heard of again'),
      seen_at: Time,
    })
    .nullable()
    .describe('what the card boots from the network'),
})
export const PortAccounts = z.object({ ports: z.array(PortAccount) })

export const Accounts = z.object({
  node_uuid: z.string(),
  provision_state: z.string(),
  description: z.string().describe('what the state means'),
  waits_for: z.string(),
  since: Time,
  elapsed_seconds: Seconds,
  deadline: Time.nullable().describe('when the wait times out'),
  lock: Lock.nullable(),
  usual: z
    .object({
      samples: z.number().int(),
      of: z
        .enum(['image', 'firmware', 'model', 'state'])
        .describe(
          'what these times have in common with this node: model, firmware and image; model and firmware; model; or the model alone, whatever the state was for',
        ),
      p5_seconds: Seconds.nullable(),
      median_seconds: Seconds.nullable(),
      p95_seconds: Seconds.nullable(),
      unusual: z.boolean().describe('longer than 95 of 100 such nodes needed'),
    })
    .nullable()
    .describe('null in a state that a node rests in: how long it stays there is the decision of a user'),
  left_seconds: Seconds.nullable().describe('until its order is done, as such orders usually go on; null: not known'),
  seen: z.array(
    z.object({ category: z.enum(['boot', 'agent', 'bmc']), what: z.string(), at: Time, detail: z.string() }),
  ),
  ports: z.array(PortAccount).describe('ports of which something was seen on the network'),
  drift: z
    .array(
      z.object({
        what: z.enum(['bios', 'firmware']),
        name: z.string().describe('of the BIOS setting or the firmware component'),
        applied: z.string(),
        now: z.string().nullable(),
        since: Time.nullable(),
      }),
    )
    .describe('what is not as the last step of Rackward left it'),
  causes: z
    .array(z.object({ cause: z.string(), evidence: z.array(z.string()), remedy: z.string() }))
    .describe('the likeliest first'),
})

export const PowerPass = z.object({
  last: z
    .object({ asked: z.number().int(), failed: z.number().int(), not_asked: z.number().int(), took_seconds: Seconds })
    .nullable(),
})
export const WebhookStates = z.object({
  webhooks: z.array(
    z.object({
      name: z.string(),
      url: z.string().describe('without user, path and query, which may hold a token'),
      format: z.string().describe('rackward, alertmanager, cloudevents, slack or pagerduty'),
      kinds: z.array(z.string()).nullable(),
      delivered_seq: z.number().int(),
      waiting: z.number().int(),
      failures: z.number().int(),
      last_error: z.string().nullable(),
    }),
  ),
})
/** Ironic's error body: a JSON document inside a JSON string. */
export const Problem = z.object({
  error_message: z
    .string()
    .describe('JSON: {"faultcode": "Client" or "Server", "faultstring": text, "debuginfo": null}'),
})
