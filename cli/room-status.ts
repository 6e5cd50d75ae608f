/** What a boot room says of itself over HTTP: /readyz and /metrics. Nothing in it is secret, and nothing can be
 *  changed. */
import { createServer, type Server } from 'node:http'
import { isIPv4 } from 'node:net'
import type { RoomReport } from '../conductor/boot/rooms/parts.ts'
import type { BootRoom } from '../conductor/boot/rooms/room.ts'
import { httpOptions, limitConnections } from '../kit/connection-limits.ts'
import { listen } from '../kit/listen.ts'
import { CliError } from './error.ts'

const LIMITS = { headersBytes: 8 * 1024, requestMs: 10_000, idleMs: 10_000 }
const CONNECTIONS = { all: 64, perAddress: 16 }
const STATES = ['fresh', 'away', 'empty'] as const

/** `at`: 127.0.0.1:9100. */
export async function listenRoomStatus(room: Pick<BootRoom, 'look'>, at: string): Promise<Server> {
  const [host = '', port = ''] = at.split(':')
  if (!isIPv4(host) || !/^\d{1,5}$/.test(port))
    throw new CliError('usage', `--status ${at}: is no address and port such as 127.0.0.1:9100`)
  const server = createServer(httpOptions(LIMITS), (request, response) => {
    const report = room.look()
    // One that serves what it knew is of use: `state` says how old that is.
    if (request.url === '/readyz')
      return void response
        .writeHead(report.state === 'empty' ? 503 : 200, { 'content-type': 'application/json' })
        .end(`${JSON.stringify(report)}\n`)
    if (request.url === '/metrics')
      return void response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(metricsText(report))
    response.writeHead(404).end()
  })
  limitConnections(server, CONNECTIONS, () => undefined)
  return listen(server, { host, port: Number(port) })
}

export function metricsText(report: RoomReport): string {
  const gauges: [name: string, help: string, lines: [labels: string, value: number][]][] = [
    [
      'rackward_room_state',
      '1 for the state of the boot room: fresh, away (no conductor is connected) or empty',
      STATES.map((state) => [`{state="${state}"}`, Number(report.state === state)]),
    ],
    ['rackward_room_clients', 'cards whose boot orders the room has', [['', report.clients]]],
    ['rackward_room_reports_waiting', 'what the room saw and no conductor has taken', [['', report.reportsWaiting]]],
    [
      'rackward_room_older_refused_total',
      'boot orders that were older than what the room had',
      [['', report.olderRefused]],
    ],
    ['rackward_room_cache_bytes', 'what the boot room keeps of what it serves', [['', report.cacheBytes]]],
    ['rackward_room_fetched_bytes_total', 'what it fetched from conductors', [['', report.fetchedBytes]]],
    ['rackward_room_damaged_blocks_total', 'blocks on its disk that were damaged', [['', report.damagedBlocks]]],
    ...(report.ageSeconds === null
      ? []
      : (
          [
            ['rackward_room_knowledge_age_seconds', 'time since a conductor was heard', [['', report.ageSeconds]]],
          ] as const
        ).map(([name, help, lines]) => [name, help, lines.map(([l, v]) => [l, v])] as (typeof gauges)[number])),
  ]
  return gauges
    .map(([name, help, lines]) =>
      [
        `# HELP ${name} ${help}`,
        `# TYPE ${name} ${name.endsWith('_total') ? 'counter' : 'gauge'}`,
        ...lines.map(([labels, value]) => `${name}${labels} ${value}`),
        '',
      ].join('\n'),
    )
    .join('')
}
