/** Takes the nodes of a fleet through the API as a client does: enrolls them, makes them available, deploys them, and
 *  watches until each has arrived or has failed. */
import type { Clock } from '../../kit/clock.ts'
import { CliError } from '../error.ts'
import { listNodes } from '../nodes.ts'
import type { Api } from '../server.ts'
import { said } from '../show.ts'
import type { Member } from './fleet.ts'
import { atOnce } from './lanes.ts'
import type { Measures } from './measures.ts'

export interface DriveOptions {
  /** The image that is deployed; undefined: nodes are made available. */
  readonly image: string | undefined
  readonly timeoutMs: number
}

export interface DriveParts {
  readonly api: Api
  readonly clock: Clock
  readonly measures: Measures
  readonly onEnrolled: (uuid: string) => void
  readonly onLook: (fleet: readonly Travel[]) => void
  readonly signal: AbortSignal
}

export interface Travel {
  readonly member: Member
  state: string
  end: 'open' | 'done' | 'failed'
  /** Why it failed. */
  why: string
  sinceMs: number
  /** The state in which the last request was made. */
  asked: string
}

interface View {
  readonly name: string | null
  readonly provision_state: string
  readonly reservation: string | null
  readonly last_error: string | null
  readonly maintenance: boolean
}

const LOOK_MS = 1_000
/** A look that takes long is made less often. */
const LOOK_SHARE = 10
const FIELDS = 'name,provision_state,reservation,last_error,maintenance'

export async function drive(members: readonly Member[], options: DriveOptions, parts: DriveParts): Promise<Travel[]> {
  const { clock, onLook } = parts
  const startMs = clock.now()
  const fleet = members.map((member): Travel => ({
    member,
    state: '',
    end: 'open',
    why: '',
    sinceMs: startMs,
    asked: '',
  }))
  await atOnce(fleet, (one) => enroll(one, options, parts))
  const byName = new Map(fleet.map((one) => [one.member.server.name, one]))
  for (;;) {
    const lookMs = clock.now()
    const views = (await listNodes(parts.api, `fields=${FIELDS}&limit=1000`)) as unknown as View[]
    const tookMs = clock.now() - lookMs
    parts.measures.add('API: a look at all nodes', tookMs)
    const due = views.flatMap((view) => {
      const one = byName.get(view.name ?? '')
      return one && one.end === 'open' && see(one, view, { options, parts }) ? [one] : []
    })
    onLook(fleet)
    if (fleet.every(({ end }) => end !== 'open')) return fleet
    if (clock.now() - startMs > options.timeoutMs) return fleet.map(late)
    await atOnce(due, (one) => ask(one, options, parts))
    await clock.sleep(Math.max(LOOK_MS, tookMs * LOOK_SHARE), parts.signal)
  }
}

async function enroll(
  { member }: Travel,
  { image }: DriveOptions,
  { api, measures, signal, onEnrolled }: DriveParts,
): Promise<void> {
  signal.throwIfAborted()
  const { server, driver, driverInfo } = member
  const body = {
    name: server.name,
    driver,
    driver_info: driverInfo,
    properties: { cpu_arch: 'x86_64', capabilities: 'boot_mode:uefi' },
    extra: { simulated: true, ...(member.fault ? { fault: member.fault } : {}) },
    ...(image === undefined ? {} : { instance_info: { image_source: image } }),
  }
  await measures.of('API: enroll', async () => {
    const { uuid } = (await api.ask('POST', '/v1/nodes', body)) as { uuid: string }
    onEnrolled(uuid)
    await api.ask('POST', '/v1/ports', { node_uuid: uuid, address: server.mac })
  })
}

/** True when a request is due. */
function see(one: Travel, view: View, { options, parts }: { options: DriveOptions; parts: DriveParts }): boolean {
  const nowMs = parts.clock.now()
  if (one.state !== view.provision_state) {
    if (one.state !== '') parts.measures.add(`state: ${one.state}`, nowMs - one.sinceMs)
    one.state = view.provision_state
    one.sinceMs = nowMs
  }
  const isFree = view.reservation === null
  const wasRefused = view.provision_state === 'enroll' && one.asked === 'enroll' && view.last_error !== null
  if (view.maintenance || (isFree && (/failed|error/.test(view.provision_state) || wasRefused))) {
    one.end = 'failed'
    one.why = said(`${view.provision_state}${view.maintenance ? ' (maintenance)' : ''}: ${view.last_error ?? ''}`)
  } else if (isFree && view.provision_state === (options.image === undefined ? 'available' : 'active')) one.end = 'done'
  return one.end === 'open' && isFree && one.asked !== one.state && one.state in TARGETS
}

const TARGETS: Readonly<Record<string, string>> = { enroll: 'manage', manageable: 'provide', available: 'active' }

async function ask(one: Travel, _: DriveOptions, { api, measures, signal }: DriveParts): Promise<void> {
  signal.throwIfAborted()
  const path = `/v1/nodes/${encodeURIComponent(one.member.server.name)}/states/provision`
  one.asked = one.state
  await measures
    .of('API: request', () => api.ask('PUT', path, { target: TARGETS[one.state] }))
    .catch((error: unknown) => {
      // Locked, or on its way already: the next look tells.
      if (!(error instanceof CliError) || error.kind !== 'refused') throw error
      measures.count('requests that were refused')
      one.asked = ''
    })
}

function late(one: Travel): Travel {
  if (one.end !== 'open') return one
  return {
    ...one,
    end: 'failed',
    why: `${one.state}: it did not arrive in time; the server is in: ${one.member.server.doing}`,
  }
}
