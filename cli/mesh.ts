/** `rackward mesh ...` and `rackward incident ...`: what the mesh sees, why, and what an operator wants of it. Asks a conductor or an arbiter: the paths are the same. */
import { until } from '../kit/clock.ts'
import type { Api } from './server.ts'
import { formatOf, pairs, print, said, show, tableOf } from './show.ts'
import { Trouble } from './trouble.ts'

export interface MeshOptions {
  readonly output?: string
}

interface PolicyOptions extends MeshOptions {
  readonly levels?: string
  readonly agentLost?: string
  readonly isolated?: string
  readonly tenantLost?: string
  readonly limit?: readonly string[]
  readonly why?: string
}

interface Host {
  readonly name: string
  readonly state: string
  readonly says: string
  readonly rack: string | null
  readonly planes: Record<string, string> | null
  readonly last_heard_seconds: number | null
  readonly gate: string | null
  readonly guests: number | null
  readonly instances: number | null
  readonly unprotected: readonly { name: string; because: string }[] | null
  readonly not_fenceable_because: string | null
}

const BASE = '/rackward/v1'

export function meshCommands(api: Api) {
  const at = (host: string) => `${BASE}/mesh/hosts/${encodeURIComponent(host)}`
  return {
    async status(options: MeshOptions): Promise<void> {
      const mesh = await api.ask('GET', `${BASE}/mesh`)
      const hosts = mesh.hosts as Host[]
      await show(mesh, formatOf(options.output), () => {
        const head = [
          `leader    ${mesh.leader ?? 'none'}${mesh.leader === null ? ': nothing is fenced' : ''}`,
          `armed     ${mesh.armed ? 'yes' : 'no'}${mesh.dry_run ? ', dry run' : ''} (${mesh.why}, by ${mesh.by})`,
          `arbiters  ${(mesh.arbiters as { name: string; last_heard_seconds: number | null }[]).map(({ name, last_heard_seconds: age }) => `${name} ${age === null ? 'never heard' : `${age} s`}`).join(', ')}`,
        ]
        const rows = hosts.map((host) => [
          host.name,
          host.state,
          host.rack,
          planesText(host.planes),
          host.last_heard_seconds,
          host.gate,
          host.guests,
          host.says.split(' | ')[0]?.slice(0, 80),
        ])
        const risks = hosts.flatMap((host) => [
          ...(host.not_fenceable_because ? [`${host.name}: would not be fenced: ${host.not_fenceable_because}`] : []),
          ...(host.unprotected ?? []).map(
            ({ name, because }) => `${host.name}: ${name} would not be moved: ${because}`,
          ),
        ])
        return [
          ...head.map(said),
          '',
          tableOf(['host', 'state', 'rack', 'down', 'heard s', 'gate', 'guests', 'says'], rows),
          ...(risks.length > 0 ? ['', 'not protected:', ...risks.map((line) => `  ${said(line)}`)] : []),
        ].join('\n')
      })
    },

    async explain(host: string, options: MeshOptions): Promise<void> {
      const found = await api.ask('GET', `${at(host)}/explain`)
      await show(found, formatOf(options.output), () => {
        const conditions = (found.conditions as { id: string; holds: boolean; says: string; means: string }[]).map(
          ({ id, holds, says, means }) => [id, holds ? 'yes' : 'no', means, says],
        )
        const bmc = found.bmc as {
          identity: string
          fault: string | null
          reads: readonly { power: string; age_seconds: number }[]
        } | null
        return [
          pairs([
            ['host', found.name],
            ['state', found.state],
            ['verdict', `${found.verdict}: ${found.verdict_says}`],
            ['planes down', planesText(found.planes)],
            ['last heard', found.last_heard_seconds === null ? 'never' : `${found.last_heard_seconds} s ago`],
            ['boot', `${found.boot_id ?? '-'}, gate ${found.gate ?? '-'}, ${found.guests ?? 'unknown'} guests`],
            ['hold', found.hold ? `${found.hold.kind}: ${found.hold.why} (${found.hold.by})` : '-'],
            [
              'BMC',
              bmc
                ? `${bmc.identity}${bmc.fault ? `, ${bmc.fault}` : ''}${bmc.reads.length > 0 ? `, last "${bmc.reads.at(-1)?.power}" ${bmc.reads.at(-1)?.age_seconds} s ago` : ''}`
                : 'not asked',
            ],
          ]),
          '',
          tableOf(['', 'holds', 'condition of a confirmed death', 'found'], conditions),
        ].join('\n')
      })
    },

    async policy(change: Readonly<Record<string, unknown>>, options: MeshOptions): Promise<void> {
      const { policy } = await api.ask('PUT', `${BASE}/mesh/policy`, change)
      await show(
        policy,
        formatOf(options.output),
        () =>
          `the mesh is ${policy.armed ? 'armed' : 'disarmed'}${policy.dryRun ? ', dry run: it only says what it would do' : ''}`,
      )
    },

    async setPolicy(options: PolicyOptions): Promise<void> {
      const now = await api.ask('GET', `${BASE}/mesh`)
      const change = {
        ...(options.levels === undefined ? {} : { levels: options.levels.split(',').map((level) => level.trim()) }),
        ...(options.agentLost === undefined ? {} : { agent_lost: options.agentLost }),
        ...(options.isolated === undefined ? {} : { isolated: options.isolated }),
        ...(options.tenantLost === undefined ? {} : { tenant_lost: options.tenantLost }),
        ...(options.limit === undefined ? {} : { limits: limitsWith(now.changed_limits ?? {}, options.limit) }),
      }
      if (Object.keys(change).length > 0) {
        if (options.why === undefined) throw new Trouble('usage', '--why: say why, for those who read the record')
        await api.ask('PUT', `${BASE}/mesh/policy`, { ...change, why: options.why })
      }
      const after = Object.keys(change).length > 0 ? await api.ask('GET', `${BASE}/mesh`) : now
      const {
        armed,
        dry_run: dryRun,
        levels,
        agent_lost: agentLost,
        isolated,
        tenant_lost: tenantLost,
        changed_limits: limits,
        why,
        by,
      } = after
      await show(
        { armed, dry_run: dryRun, levels, agent_lost: agentLost, isolated, tenant_lost: tenantLost, limits, why, by },
        formatOf(options.output),
        () =>
          pairs([
            ['armed', armed ? (dryRun ? 'dry run: it only says what it would do' : 'yes') : 'no'],
            ['levels', levels.join(', ')],
            ['agent lost', agentLost],
            ['isolated', isolated],
            ['tenant lost', tenantLost],
            [
              'limits',
              Object.entries(limits)
                .map(([name, value]) => `${name}=${value}`)
                .join(', ') || 'as delivered',
            ],
            ['last change', `${why} (${by})`],
          ]),
      )
    },

    async maintenance(
      wish: string,
      host: string,
      options: MeshOptions & { why?: string; for?: string },
    ): Promise<void> {
      if (wish === 'off') {
        await api.ask('DELETE', `${at(host)}/hold`)
        return print(`${host} is watched again`)
      }
      if (wish !== 'on') throw new Trouble('usage', `maintenance ${wish}: use on or off`)
      const seconds = options.for === undefined ? null : secondsOf(options.for)
      await api.ask('PUT', `${at(host)}/hold`, { kind: 'maintenance', why: options.why ?? 'maintenance', seconds })
      print(
        `${host} is in maintenance${seconds === null ? ' until it is ended' : ` for ${options.for}`}: it is not fenced`,
      )
    },

    async drain(host: string, options: MeshOptions & { why?: string; wait?: boolean | string }): Promise<void> {
      await api.ask('PUT', `${at(host)}/hold`, { kind: 'drain', why: options.why ?? 'drain' })
      if (options.wait === undefined || options.wait === false)
        return print(`${host} is being emptied; it is in maintenance when it is empty: rackward mesh explain ${host}`)
      const seconds = options.wait === true ? 3_600 : Number(options.wait)
      const left = async () => {
        const found = await api.ask('GET', `${at(host)}/explain`)
        return found.hold?.kind === 'maintenance' && found
      }
      await until(left, { what: host, timeoutMs: seconds * 1_000, everyMs: 1_000 }).catch(() => {
        throw new Trouble(
          'late',
          `${host} is not empty after ${seconds} s; what stays and why: rackward mesh explain ${host}, and the pages of its arbiters`,
        )
      })
      print(`${host} runs no instances and is in maintenance; back into service: rackward mesh maintenance off ${host}`)
    },

    async fence(host: string, options: { confirm?: string }): Promise<void> {
      if (options.confirm !== host)
        throw new Trouble('usage', `this switches ${host} off and moves its instances: say --confirm ${host}`)
      await api.ask('POST', `${at(host)}/fence`, { host })
      print(`${host} will be fenced: rackward incident list`)
    },

    async remove(host: string, options: { confirm?: string }): Promise<void> {
      if (options.confirm !== host)
        throw new Trouble('usage', `this removes ${host} from the mesh: say --confirm ${host}`)
      await api.ask('DELETE', at(host))
      print(`${host} is no member any more`)
    },

    async incidents(options: MeshOptions): Promise<void> {
      const { incidents } = await api.ask('GET', `${BASE}/incidents`)
      await show(incidents, formatOf(options.output), () =>
        tableOf(
          ['incident', 'host', 'state', 'since', 'proof', 'instances'],
          (incidents as any[]).map((one) => [
            one.id,
            one.host,
            one.state,
            one.time_line[0]?.at,
            one.proof?.level,
            countText(one.instances),
          ]),
        ),
      )
    },

    async incident(id: string, options: MeshOptions): Promise<void> {
      const one = await api.ask('GET', `${BASE}/incidents/${encodeURIComponent(id)}`)
      await show(one, formatOf(options.output), () => {
        const begin = Date.parse(one.time_line[0]?.at ?? '')
        const lines = (one.time_line as { at: string; says: string }[]).map(({ at: when, says }) => [
          `+${((Date.parse(when) - begin) / 1000).toFixed(1)} s`,
          says.split('\n')[0],
        ])
        return [
          pairs([
            ['incident', one.id],
            ['host', `${one.host}, boot ${one.boot_id ?? 'never heard'}`],
            ['state', one.state],
            ['proof', one.proof ? `${one.proof.level}: ${one.proof.says}` : 'none'],
            ['instances', countText(one.instances)],
          ]),
          '',
          tableOf([one.time_line[0]?.at ?? '', 'what happened'], lines),
          '',
          'why:',
          ...String(one.why)
            .split('\n')
            .map((line) => `  ${said(line)}`),
        ].join('\n')
      })
    },

    async act(kind: 'attest' | 'retry' | 'close', id: string, options: { confirm?: string }): Promise<void> {
      const one = await api.ask('GET', `${BASE}/incidents/${encodeURIComponent(id)}`)
      if (kind === 'attest' && options.confirm !== one.host)
        throw new Trouble(
          'usage',
          `you attest that ${said(one.host)} is off and stays off; if it is not, its instances run twice. Go and look, then say --confirm ${said(one.host)}`,
        )
      await api.ask(
        'POST',
        `${BASE}/incidents/${encodeURIComponent(id)}/${kind}`,
        kind === 'attest' ? { host: one.host } : {},
      )
      print(`${kind}: taken up by the leader; see rackward incident show ${id}`)
    },
  }
}

const planesText = (planes: Record<string, string> | null) =>
  Object.entries(planes ?? {})
    .filter(([, state]) => state !== 'up')
    .map(([plane, state]) => (state === 'down' ? plane : `${plane}?`))
    .join(',') || '-'

/** `silentMs=5000` sets one, `silentMs=` takes the change back. */
function limitsWith(held: Readonly<Record<string, number>>, changes: readonly string[]): Record<string, number> {
  const limits: Record<string, number> = { ...held }
  for (const change of changes) {
    const [, name, value] = /^(\w+)=([\d.]*)$/.exec(change) ?? []
    if (name === undefined)
      throw new Trouble(
        'usage',
        `--limit ${change}: use name=value, or name= to take a change back; the names are in docs/mesh.md`,
      )
    if (value) limits[name] = Number(value)
    else delete limits[name]
  }
  return limits
}

const countText = (instances: readonly { state: string }[]) => {
  const counts = new Map<string, number>()
  for (const { state } of instances) counts.set(state, (counts.get(state) ?? 0) + 1)
  return [...counts].map(([state, count]) => `${count} ${state}`).join(', ') || 'none'
}

/** 90, 15m, 2h, 1d. */
function secondsOf(text: string): number {
  const found = /^(\d+)([smhd]?)$/.exec(text)
  if (!found) throw new Trouble('usage', `--for ${text}: use a number of seconds, or such as 30m, 2h, 1d`)
  return Number(found[1]) * ({ s: 1, m: 60, h: 3_600, d: 86_400 }[found[2] || 's'] ?? 1)
}
