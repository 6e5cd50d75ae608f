/** One server: what it waits for and why, how its phases compare with what is usual, and what happened to it. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { getJson, type Account, type BoardNode, type GivenImage, type Phases, type WireEvent } from '../api.ts'
import { about, duration, fullTime, secondsSince, usually } from '../format.ts'
import { Acts } from '../parts/acts.tsx'
import { Causes } from '../parts/causes.tsx'
import { EventRows } from '../parts/events.tsx'
import { Hardware } from '../parts/hardware.tsx'
import { WhatWasSeen } from '../parts/seen.tsx'
import { elapsed, Progress, State } from '../parts/state.tsx'
import { Tpm } from '../parts/tpm.tsx'
import { BASE, Link } from '../router.tsx'
import { board, events, findNode, me, nameOf, serverNowMs, waitsFor } from '../state.ts'

type Phase = Phases['phases'][number]

interface Seen {
  readonly account?: Account
  readonly phases?: Phases['phases']
  readonly image?: GivenImage | null
  readonly past: readonly WireEvent[]
  readonly problem?: string
}

/** Asked again whenever something happened to the node. */
function useNode(uuid: string): Seen {
  const seen = useSignal<Seen>({ past: [] })
  const lastSeq = events.value.find(({ node_uuid }) => node_uuid === uuid)?.seq ?? 0
  useEffect(() => {
    let over = false
    const base = `/rackward/v1/nodes/${encodeURIComponent(uuid)}`
    const past = `/rackward/v1/events?newest=true&limit=100&node=${encodeURIComponent(uuid)}`
    Promise.all([
      getJson<Account>(`${base}/explain`),
      getJson<Phases>(`${base}/phases`),
      getJson<{ events: WireEvent[] }>(past),
      getJson<{ image: GivenImage | null }>(`${base}/image`),
    ]).then(
      ([account, { phases }, { events: all }, { image }]) => {
        if (!over) seen.value = { account, phases, image, past: all.reverse() }
      },
      (error: Error) => {
        if (!over) seen.value = { ...seen.value, problem: error.message }
      },
    )
    return () => void (over = true)
  }, [uuid, lastSeq])
  return seen.value
}

const exact = (seconds: number) => (seconds < 10 ? `${seconds.toFixed(1)} s` : duration(seconds))

/** A bar as long as the phase, over a band from what half of such nodes need to what 95 of 100 need. */
function Phase({ phase, longest }: { readonly phase: Phase; readonly longest: number }) {
  const seconds = phase.ended === null ? secondsSince(phase.began, serverNowMs.value) : phase.seconds
  const percent = (value: number) => `${Math.min(100, (100 * value) / longest)}%`
  const slow = phase.usual !== null && phase.usual.samples >= 5 && seconds > phase.usual.p95
  return (
    <li class={phase.ended === null ? 'now' : undefined}>
      <span class="name">{phase.state}</span>
      <span class="track" aria-hidden="true">
        {phase.usual && (
          <span
            class="band"
            style={{ left: percent(phase.usual.p50), width: `max(3px, ${percent(phase.usual.p95 - phase.usual.p50)})` }}
          />
        )}
        <span class={slow ? 'bar slow' : phase.usual ? 'bar' : 'bar rest'} style={{ width: percent(seconds) }} />
      </span>
      <span class="num">{exact(seconds)}</span>
      <span class="usual muted">{phase.usual && usually(phase.usual)}</span>
    </li>
  )
}

/** Rests would make every other bar a dot: the scale is that of the work. */
function TimeLine({ phases }: { readonly phases: readonly Phase[] }) {
  const work = phases.filter(({ usual }) => usual !== null)
  const longest = Math.max(1, ...work.map(({ seconds, usual }) => Math.max(seconds, usual?.p95 ?? 0)))
  return (
    <ol class="phases">
      {phases.slice(-14).map((phase) => (
        <Phase key={`${phase.began} ${phase.state}`} phase={phase} longest={longest} />
      ))}
    </ol>
  )
}

function lockText({ holder, reason, pending_effects: pending, tries }: NonNullable<Account['lock']>): string {
  const waits = pending.length > 0 ? `; pending: ${pending.join(', ')}` : ''
  return `${holder}: ${reason}${waits}${tries > 0 ? `; ${tries} tries failed` : ''}`
}

function imageText(given: GivenImage): string {
  const { source, image, series, version, channel, behind, wanted, deploy, on_disk: disk } = given
  const named = image === null ? source : `${source} (${image.slice(0, 12)})`
  const what = series === null || version === null ? named : `${series}:${version}`
  const still = disk ? `; the disk still holds ${disk.source} (${disk.image.slice(0, 12)})` : ''
  if (deploy === 'under way') return `${what}, being deployed${still}`
  if (deploy === 'failed' && image === null) return `${what}, whose deploy failed before an image was chosen${still}`
  if (deploy === 'failed') return `${what}, whose deploy failed: the disk may hold another one, or part of it`
  if (behind === null) return what
  return behind ? `${what}, behind: channel ${channel} is at ${wanted}` : `${what}, as channel ${channel}`
}

interface FactsProps {
  readonly node: BoardNode
  readonly account: Account | undefined
  readonly image: GivenImage | null | undefined
}

const Facts = ({ node, account, image }: FactsProps) => (
  <dl class="facts card">
    {(
      [
        ['Power', node.power ?? 'unknown'],
        ['Since', `${fullTime(node.since)} (${duration(elapsed(node))})`],
        ...(typeof account?.left_seconds === 'number' ? [['Left', about(account.left_seconds)] as const] : []),
        ['Times out', account?.deadline ? fullTime(account.deadline) : 'never'],
        ['Lock', account?.lock ? lockText(account.lock) : 'free'],
        ['Place', node.rack === null ? 'not set' : `${node.rack}, unit ${node.u ?? '?'}`],
        ['Health', node.health ?? 'not reported'],
        ...(image ? [['Image', imageText(image)] as const] : []),
        ['UUID', node.uuid],
      ] as const
    ).map(([name, value]) => (
      <div key={name}>
        <dt>{name}</dt>
        <dd>{value}</dd>
      </div>
    ))}
  </dl>
)

export function Node({ ident }: { readonly ident: string }) {
  const node = findNode(ident)
  if (node) return <Shown node={node} key={node.uuid} />
  if (!board.value) return <p class="muted">Reading the board …</p>
  return <p class="problem card">There is no server {ident} that you may see.</p>
}

function Shown({ node }: { readonly node: BoardNode }) {
  const { account, phases, image, past, problem } = useNode(node.uuid)
  return (
    <>
      <div class="bar">
        <h1>{nameOf(node)}</h1>
        <State node={node} />
        <Progress node={node} />
        <span class="grow" />
        {me.value?.role !== 'reader' && (
          <a class="button" href={`${BASE}/console/${encodeURIComponent(node.uuid)}`}>
            Serial console
          </a>
        )}
      </div>
      <p class="says-head">
        Waits for <b>{waitsFor(node)}</b>
        {account && <span class="muted"> ({account.description})</span>}
      </p>
      {node.error !== null && <p class="problem card">{node.error}</p>}
      {problem && (
        <p class="problem card" role="alert">
          {problem}
        </p>
      )}
      <div class="columns of-node">
        <div>
          <Causes causes={account?.causes} />
          <section class="card">
            <h2>
              Phases <small>bar: this time; band: median to 95th percentile of this model</small>
            </h2>
            {phases && <TimeLine phases={phases} />}
          </section>
          <div class="past">
            <WhatWasSeen account={account} />
            <section class="card">
              <h2>
                Events <Link to={`/events?node=${encodeURIComponent(nameOf(node))}`}>with filters</Link>
              </h2>
              <EventRows events={past} withNode={false} />
            </section>
          </div>
        </div>
        <div class="stack">
          <Acts uuid={node.uuid} />
          <Facts node={node} account={account} image={image} />
          <Tpm uuid={node.uuid} name={nameOf(node)} />
          <Hardware uuid={node.uuid} />
        </div>
      </div>
    </>
  )
}
