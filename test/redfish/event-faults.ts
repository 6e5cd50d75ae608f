/** Faults of events in the field. */
import { SSE, SUBSCRIPTIONS } from './families/events.ts'
import type { Rule } from './rules.ts'

const head = { 'content-type': 'text/event-stream' }

export const EVENT_FAULTS = {
  'there are no events': [{ profile: { eventWays: [] } }],
  'events come by subscription alone': [{ profile: { eventWays: ['push'] } }],
  'events have no ids, and times of another form': [{ profile: { events: 'without ids' } }],
  'events are not delivered': [{ profile: { events: 'not delivered' } }],
  'a restart of the BMC forgets subscriptions': [{ profile: { subscriptions: 'lost at a restart' } }],
  'the table of subscriptions is full': [
    { method: 'POST', path: SUBSCRIPTIONS, refuse: { status: 503, id: 'EventSubscriptionLimitExceeded' } },
  ],
  'subscriptions need event types': [
    {
      method: 'POST',
      path: SUBSCRIPTIONS,
      when: ({ body }) => body.EventTypes === undefined,
      refuse: { status: 400, id: 'CreateFailedMissingReqProperties', args: ['EventTypes'] },
    },
  ],
  'the event stream is refused': [
    { method: 'GET', path: SSE, refuse: { status: 503, id: 'ServiceTemporarilyUnavailable' } },
  ],
  'the event stream closes at once': [
    { method: 'GET', path: SSE, raw: (response) => void response.writeHead(200, head).end() },
  ],
  'the event stream answers with its first event alone': [{ method: 'GET', path: SSE, raw: () => undefined }],
  'the event stream floods': [
    {
      method: 'GET',
      path: SSE,
      raw: (response) => {
        response.writeHead(200, head)
        const more = () => {
          while (!response.destroyed && response.write('data: {}\n\n'.repeat(5_000))) continue
        }
        response.on('drain', more)
        more()
      },
    },
  ],
  'an event has no end': [
    {
      method: 'GET',
      path: SSE,
      raw: (response) => {
        response.writeHead(200, head)
        const more = () => {
          while (!response.destroyed && response.write(`data: ${'x'.repeat(65_536)}`)) continue
        }
        response.on('drain', more)
        more()
      },
    },
  ],
} satisfies Readonly<Record<string, readonly Rule[]>>
