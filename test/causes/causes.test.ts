/** Which cause is named first for what was seen, in a table; and what of it is kept. */
import { describe, expect, test } from 'vitest'
import type { ArbiterFacts, HostFacts } from '../../host-agent/causes/facts.ts'
import { hostCauses } from '../../host-agent/causes/host.ts'
import { meshCauses } from '../../host-agent/causes/mesh.ts'
import {
  NOTHING_STANDS,
  standingAfter,
  told,
  troubleAfter,
  unwrittenAfter,
  withCause,
  withEpisode,
} from '../../host-agent/causes/named.ts'
import { causeOf, CAUSES, type CauseCode } from '../../host-agent/causes/table.ts'
import type { TroubleRecord } from '../../host-agent/protocol/trouble.ts'
import { incident } from '../fence/facts.ts'
import { NOW, reads, silent, well } from './facts.ts'

const down = (...planes: ('management' | 'storage' | 'tenant')[]): Partial<HostFacts> => ({
  planes: {
    management: planes.includes('management') ? 'down' : 'up',
    storage: planes.includes('storage') ? 'down' : 'up',
    tenant: planes.includes('tenant') ? 'down' : 'up',
  },
})
const hard = { kind: 'hard', says: 'answered h2 on the tenant plane', ageMs: 100 } as const
const soft = { kind: 'soft', says: 'its kernel answered h2', ageMs: 100 } as const
const fault = (bmcFaultCode: NonNullable<HostFacts['bmc']['bmcFaultCode']> | undefined) => ({
  bmcFault: 'BMC 10.0.0.1',
  bmcFaultCode,
  reads: reads('unknown', 2_000, 1_000),
})
const noAnswer = { bmcFault: 'BMC 10.0.0.1', bmcFaultCode: 'bmc.unreachable' } as const
const rack = { count: 2, hosts: ['h1', 'h4'], rack: 'r1' }

test.each<[string, HostFacts, CauseCode[]]>([
  ['a host that is well', well(), []],
  ['a planned leave', silent({ reads: reads('off', 2_000, 500) }, { hasLeft: true }), []],
  ['a silent host of which nothing is known yet', silent({}), ['host.silent']],
  ['"off" before any OFF', silent({ reads: reads('off', 2_000, 500) }), ['host.power-lost']],
  [
    'what the BMC said before the host fell silent',
    silent({ reads: [...reads('on', 9_000), ...reads('unknown', 1_000)], ...noAnswer }),
    ['host.and-bmc-silent'],
  ],
  [
    'what went wrong with the BMC before the host fell silent',
    silent({ ...fault('bmc.password'), reads: reads('unknown', 9_000) }),
    ['host.silent'],
  ],
  ['no answer of the BMC, before the host fell silent', silent(noAnswer), ['host.silent']],
  ['"on", and nothing else', silent({ reads: reads('on', 2_000, 500) }), ['host.hangs']],
  [
    '"on" just after OFF was sent',
    silent({ reads: reads('on', 500), lastOffMs: NOW - 1_000 }, { incident }),
    ['host.hangs'],
  ],
  [
    '"off" after OFF was sent',
    silent({ reads: reads('off', 500), lastOffMs: NOW - 1_000 }, { incident }),
    ['host.silent'],
  ],
  [
    '"on" long after OFF was sent',
    silent({ reads: reads('on', 500), lastOffMs: NOW - 6_000 }, { incident }),
    ['bmc.stays-on'],
  ],
  [
    '"on" after the third OFF',
    silent({ reads: reads('on', 500), lastOffMs: NOW - 1_000 }, { incident: { ...incident, offs: 3 } }),
    ['bmc.stays-on', 'host.hangs'],
  ],
  ['OFF that the BMC did not carry out, by its own word', silent(fault('bmc.unproven')), ['bmc.stays-on']],
  ['a BMC that does not answer', silent(fault('bmc.unreachable')), ['host.and-bmc-silent']],
  ['a BMC whose deadline passed', silent(fault(undefined)), ['host.and-bmc-silent']],
  [
    'one answer that is missed after "on"',
    silent({ ...fault('bmc.timeout'), reads: [...reads('on', 900), ...reads('unknown', 100)] }),
    ['host.hangs'],
  ],
  [
    'two answers that are missed after "on"',
    silent({ ...fault('bmc.timeout'), reads: [...reads('on', 900), ...reads('unknown', 500, 100)] }),
    ['host.and-bmc-silent'],
  ],
  ['a BMC that is busy with others', silent(fault('bmc.busy')), ['host.silent']],
  ['a wrong password', silent(fault('bmc.password')), ['bmc.password']],
  ['a BMC that nobody knows', silent(fault('bmc.config')), ['bmc.unconfigured']],
  ['a BMC that updates itself, by the word of the conductor', silent(fault('bmc.updating')), ['bmc.updating']],
  ['a BMC whose certificate is another', silent(fault('bmc.identity')), ['bmc.untrusted']],
  ['a host that the conductor does not know', silent(fault('object.missing')), ['bmc.unconfigured']],
  ['a conductor that refuses the arbiter', silent(fault('access.denied')), ['bmc.unasked']],
  ['a BMC that refuses', silent(fault('bmc.refused')), ['bmc.refused']],
  ['another machine’s BMC', silent({ reads: reads('unknown', 500) }, { identity: 'mismatch' }), ['bmc.other-machine']],
  ['a BMC that updates itself', silent({}, { updating: 'BMC 2.1' }), ['bmc.updating']],
  ['a kernel that answers', silent({ reads: reads('on', 500) }, { life: soft }), ['agent.lost']],
  ['peers that hear it', silent({ reads: reads('on', 500) }, { life: hard }), ['host.unheard']],
  ['a crash dump', silent({}, { isDumping: true }), ['host.dumping']],
  ['a rack that fell silent', silent({ reads: reads('on', 500) }, { together: rack }), ['rack.silent', 'host.hangs']],
  [
    'hosts of several racks that fell silent',
    silent({ reads: reads('on', 500) }, { together: { ...rack, rack: null } }),
    ['hosts.silent', 'host.hangs'],
  ],
  ['the management plane', well(down('management')), ['plane.management']],
  ['the tenant plane', well(down('tenant')), ['plane.tenant']],
  ['the storage plane', well(down('storage')), ['plane.storage']],
  ['storage that the host alone misses', well({ storageLost: true }), ['plane.storage']],
  ['storage that many miss', well({ storageLost: true, isStorageSick: true }), ['storage.down']],
  ['all but storage', well(down('management', 'tenant')), ['plane.isolated']],
  ['management and storage', well(down('management', 'storage')), ['plane.storage', 'plane.management']],
  [
    'a host that agreed to be switched off, once it is silent',
    silent({ reads: reads('on', 500) }, { incident: { ...incident, cause: 'storage' } }),
    ['plane.storage'],
  ],
  [
    'the same, with a BMC that is no help',
    silent(fault('bmc.password'), { incident: { ...incident, cause: 'storage' } }),
    ['plane.storage', 'bmc.password'],
  ],
])('%s', (_, facts, codes) => {
  const found = hostCauses(facts)
  expect(found.map(({ code }) => code)).toEqual(codes)
  for (const { code, cause, remedy, evidence } of found) {
    expect({ cause, remedy }).toEqual(CAUSES[code])
    expect(evidence.every((line) => line !== '')).toBe(true)
  }
})

test('no two causes are told in the same words', () => {
  const all = Object.values(CAUSES)
  expect(new Set(all.map(({ cause }) => cause)).size).toBe(all.length)
})

describe('the mesh as a whole', () => {
  const a1: ArbiterFacts = { name: 'a1', heardAgeMs: 0, storeAgeMs: 500 }
  const a2 = { ...a1, name: 'a2', heardAgeMs: 200 }
  const a3 = { ...a1, name: 'a3', heardAgeMs: 200 }
  const away = { storeAgeMs: 9_000 }
  test.each<[string, ArbiterFacts[], CauseCode[]]>([
    ['is well', [a1, a2, a3], []],
    ['before any answer of the store', [{ ...a1, storeAgeMs: undefined }, a2, a3], []],
    ['an arbiter is silent', [a1, a2, { ...a3, heardAgeMs: 9_000 }], ['arbiter.silent']],
    ['an arbiter was never heard', [a1, a2, { ...a3, heardAgeMs: undefined }], ['arbiter.silent']],
    ['an arbiter does not reach its Consul', [a1, a2, { ...a3, ...away }], ['arbiter.store-away']],
    ['this one does not reach its Consul', [{ ...a1, ...away }, a2, a3], ['mesh.store-away']],
    ['nobody reaches the store', [a1, a2, a3].map((one) => ({ ...one, ...away })), ['mesh.no-quorum']],
    [
      'the others are gone with the store',
      [
        { ...a1, ...away },
        { ...a2, heardAgeMs: 9_000 },
        { ...a3, heardAgeMs: 9_000 },
      ],
      ['mesh.no-quorum'],
    ],
    [
      'others of a release that does not say',
      [
        { ...a1, ...away },
        { ...a2, storeAgeMs: undefined },
        { ...a3, storeAgeMs: undefined },
      ],
      ['mesh.no-quorum'],
    ],
  ])('%s', (_, arbiters, codes) => {
    expect(meshCauses({ arbiter: 'a1', arbiters }).map(({ code }) => code)).toEqual(codes)
  })
})

describe('what is kept', () => {
  const hangs = causeOf('host.hangs', ['seen'])
  const staysOn = causeOf('bmc.stays-on', [])
  const at = (ms: number) => new Date(ms).toISOString()
  const after = (record: TroubleRecord | undefined, standing: typeof NOTHING_STANDS, nowMs: number, isOver = false) =>
    troubleAfter(record, standing, { nowMs, at: at(nowMs), isOver })

  test('a cause stands since it became the first, and a new leader counts from its own first look', () => {
    const one = standingAfter(NOTHING_STANDS, hangs, 1_000)
    expect(standingAfter(one, { ...hangs, evidence: ['newer'] }, 2_000)).toMatchObject({ sinceMs: 1_000 })
    expect(standingAfter(one, staysOn, 2_000)).toMatchObject({ sinceMs: 2_000 })
    expect(standingAfter(NOTHING_STANDS, undefined, 2_000)).toEqual({ first: undefined, sinceMs: 2_000 })
  })

  test('the newest cause was found with most evidence: it is told first, and each is told once', () => {
    const first = withCause([], hangs, at(1)) ?? []
    expect(withCause(first, hangs, at(2))).toBeUndefined()
    const second = withCause(first, staysOn, at(2)) ?? []
    const third = withCause(second, hangs, at(3)) ?? []
    expect(told(second).map(({ code }) => code)).toEqual(['bmc.stays-on', 'host.hangs'])
    expect(told(third).map(({ code, at: named }) => [code, named])).toEqual([
      ['host.hangs', at(3)],
      ['bmc.stays-on', at(2)],
    ])
  })

  test('an episode begins once a cause has lasted, takes another one up, and ends once none is left', () => {
    const since = (first: typeof hangs | undefined, sinceMs: number) => ({ first, sinceMs })
    expect(after(undefined, since(hangs, 1_000), 4_000)).toBeUndefined()
    const open = after(undefined, since(hangs, 1_000), 5_000)
    expect(open?.episodes).toMatchObject([{ to: null, causes: [{ code: 'host.hangs' }] }])
    expect(after(open, since(hangs, 1_000), 9_000)).toBeUndefined()
    expect(after(open, since(staysOn, 8_000), 9_000)).toBeUndefined()
    const more = after(open, since(staysOn, 8_000), 11_000)
    expect(more?.episodes[0]?.causes.map(({ code }) => code)).toEqual(['host.hangs', 'bmc.stays-on'])
    expect(after(more, since(undefined, 12_000), 13_000)).toBeUndefined()
    const over = after(more, since(undefined, 12_000), 14_000)
    expect(over?.episodes).toMatchObject([{ to: at(14_000) }])
    expect(after(over, since(undefined, 12_000), 99_000)).toBeUndefined()
  })

  test('an incident takes an episode over, and no episode begins beside it', () => {
    const standing = { first: hangs, sinceMs: 0 }
    const open = after(undefined, standing, 5_000)
    expect(after(open, standing, 6_000, true)?.episodes).toMatchObject([{ to: at(6_000) }])
    expect(after(undefined, standing, 6_000, true)).toBeUndefined()
  })

  test('the newest five episodes are kept, each with four causes', () => {
    const ended = { from: at(1), to: at(2), causes: withCause([], hangs, at(1)) ?? [] }
    const many = Array.from({ length: 9 }).reduce<TroubleRecord | undefined>(
      (held) => withEpisode(held, ended),
      undefined,
    )
    expect(many?.episodes).toHaveLength(5)
    const causes = Array.from({ length: 9 }, (_, i) => (i % 2 === 0 ? hangs : staysOn)).reduce(
      (held, one) => withCause(held, one, at(1)) ?? held,
      [] as NonNullable<ReturnType<typeof withCause>>,
    )
    expect(causes).toHaveLength(4)
  })

  test('what was wrong while nothing could be written is one episode, of what lasted', () => {
    const [lost, away] = [causeOf('mesh.no-quorum', []), causeOf('mesh.store-away', [])]
    const seen = [away, away, lost, lost, lost, lost, lost, away, undefined] as const
    let standing = NOTHING_STANDS
    let held: ReturnType<typeof unwrittenAfter> = { unwritten: undefined, ended: undefined }
    for (const [i, first] of seen.entries()) {
      const nowMs = i * 1_000
      standing = standingAfter(standing, first, nowMs)
      held = unwrittenAfter(held.unwritten, standing, { nowMs, at: at(nowMs) })
    }
    expect(held.unwritten).toBeUndefined()
    expect(held.ended).toMatchObject({ from: at(0), to: at(8_000), causes: [{ code: 'mesh.no-quorum' }] })

    const blip = unwrittenAfter(undefined, { first: lost, sinceMs: 0 }, { nowMs: 0, at: at(0) })
    expect(
      unwrittenAfter(blip.unwritten, { first: undefined, sinceMs: 1 }, { nowMs: 1, at: at(1) }).ended,
    ).toBeUndefined()
  })
})
