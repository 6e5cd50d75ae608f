/** What `npm run lab -- --conductors N` shows: the machine of a conductor dies while the image of one of its servers is
 *  written, and the others go on with all of its nodes. */
import { until } from '../../../kit/clock.ts'
import type { ApiClient } from '../client.ts'

/** How much of an image is written when the conductor is killed. */
const FROM = 0.05
const TO = 0.9
/** Less is no image. */
const MIN_BYTES = 1_000_000
const LOOK_MS = 200
const FOUND_MS = 3 * 60 * 60_000
const OWNED_MS = 60_000
const ENDS_MS = 60 * 60_000

export interface NodeSeen {
  readonly name: string
  readonly provision_state: string
  readonly conductor: string | null
  readonly driver_internal_info: {
    readonly rackward: { readonly progress: { phase: string; done_bytes: number; total_bytes: number } | null }
  }
}

/** Seconds from the kill. */
export interface HandOver {
  readonly killed: string
  /** Whether it had the address by which servers know the conductors. */
  readonly hadAddress: boolean
  readonly server: string
  /** Of its image, when the conductor was killed. */
  readonly written: number
  readonly nodes: readonly {
    readonly name: string
    readonly was: string
    readonly owner: string
    readonly ownedAfter: number
    readonly activeAfter: number
  }[]
  /** Until the killed one took part again, from its start on. */
  readonly backAfter: number
}

export interface HandOverParts {
  readonly api: ApiClient
  readonly machines: {
    readonly holder: string
    kill(name: string): Promise<void>
    startAgain(name: string): Promise<void>
  }
  readonly say: (line: string) => void
  /** Every server has come to its end, or failed: no image will be written any more. */
  readonly areOver: () => boolean
}

/** A node whose image is being written, and its owner known. */
export function inTheMiddle(nodes: readonly NodeSeen[]): { node: NodeSeen; written: number } | undefined {
  for (const node of nodes) {
    const { progress } = node.driver_internal_info.rackward
    if (!progress || progress.total_bytes < MIN_BYTES || node.conductor === null) continue
    if (node.provision_state !== 'deploying' && node.provision_state !== 'wait call-back') continue
    const written = progress.done_bytes / progress.total_bytes
    if (written >= FROM && written <= TO) return { node, written }
  }
  return undefined
}

export async function handOver({ api, machines, say, areOver }: HandOverParts): Promise<HandOver> {
  const nodes = async () => (await api.ok('GET', '/v1/nodes/detail')).nodes as NodeSeen[]
  const look = async () => {
    const found = inTheMiddle(await nodes())
    if (!found && areOver()) throw new Error('no conductor was killed: every server has ended, or failed, before')
    return found
  }
  const { node, written } = await until(look, {
    what: 'an image that is being written',
    timeoutMs: FOUND_MS,
    everyMs: LOOK_MS,
  })
  const killed = node.conductor as string
  const its = (await nodes()).filter(({ conductor }) => conductor === killed)
  const hadAddress = machines.holder === killed
  const startMs = Date.now()
  const since = () => Math.round((Date.now() - startMs) / 100) / 10
  await machines.kill(killed)
  say(
    `${killed} is dead: it owned ${its.map(({ name }) => name).join(', ')}, and ${percent(written)} of the image of ${node.name} was written`,
  )
  if (hadAddress) say(`it had the address of the conductors, which is with ${machines.holder} now`)
  const named = async (name: string) => (await nodes()).find((one) => one.name === name)
  const ends = await Promise.all(
    its.map(async ({ name, provision_state: was }) => {
      const owner = await until(
        async () => {
          const conductor = (await named(name))?.conductor
          return conductor && conductor !== killed ? conductor : undefined
        },
        { what: `another owner of ${name}`, timeoutMs: OWNED_MS, everyMs: LOOK_MS },
      )
      const ownedAfter = since()
      say(`${owner} has taken over ${name} after ${ownedAfter} s`)
      await until(async () => (await named(name))?.provision_state === 'active', {
        what: `the end of the deploy of ${name}`,
        timeoutMs: ENDS_MS,
        everyMs: LOOK_MS,
      })
      return { name, was, owner, ownedAfter, activeAfter: since() }
    }),
  )
  const backMs = Date.now()
  await machines.startAgain(killed)
  await until(async () => (await living(api)).includes(killed), {
    what: `${killed} in the list of conductors`,
    timeoutMs: OWNED_MS,
    everyMs: LOOK_MS,
  })
  const backAfter = Math.round((Date.now() - backMs) / 100) / 10
  return { killed, hadAddress, server: node.name, written, nodes: ends, backAfter }
}

const living = async (api: ApiClient): Promise<string[]> =>
  ((await api.ok('GET', '/v1/conductors')).conductors as { hostname: string; alive: boolean }[]).flatMap((one) =>
    one.alive ? [one.hostname] : [],
  )

const percent = (share: number) => `${Math.floor(share * 100)} %`

export const handOverText = (over: HandOver): string =>
  [
    `${over.killed} was killed when ${percent(over.written)} of the image of ${over.server} was written${over.hadAddress ? '; the address of the conductors moved with it' : ''}`,
    ...over.nodes.map(
      ({ name, was, owner, ownedAfter, activeAfter }) =>
        `  ${name}  ${was}: ${owner} took over after ${ownedAfter} s; active after ${activeAfter} s`,
    ),
    `  ${over.killed} was started again and took part after ${over.backAfter} s`,
  ].join('\n')
