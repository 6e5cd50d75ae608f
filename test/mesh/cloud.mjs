#!/usr/bin/env node
/** A manager of instances for the tests, behind the contract of the command driver: an instance is a process in the
 *  namespace of its host, its owner a file on "shared storage". What really runs where is read from the processes, by
 *  the test. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const [dir, prefix] = process.argv.slice(2)
const file = (id) => join(dir, 'instances', `${id}.json`)
const read = (id) => JSON.parse(readFileSync(file(id), 'utf8'))
const write = (record) => {
  writeFileSync(`${file(record.id)}.${process.pid}`, JSON.stringify(record))
  renameSync(`${file(record.id)}.${process.pid}`, file(record.id))
}
const all = () =>
  existsSync(join(dir, 'instances'))
    ? readdirSync(join(dir, 'instances'))
        .filter((name) => name.endsWith('.json'))
        .map((name) => read(name.slice(0, -5)))
    : []
const shape = ({ id, priority, group }) => ({
  id,
  name: id,
  priority: priority ?? 0,
  memory_mb: 100,
  group: group ?? null,
})
const namespace = (host) => `${prefix}-${host}`
const powered = (host) => readFileSync(join(dir, '..', host, 'power'), 'utf8').trim() === '1'
/** Faults that a test sets. */
const mode = (name) => existsSync(join(dir, `mode-${name}`))
const guestPids = (id, host) =>
  spawnSync('ip', ['netns', 'pids', namespace(host)], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter(Boolean)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(`guest:${id}\0`)
      } catch {
        return false
      }
    })

const runsOn = (id, host) => guestPids(id, host).length > 0

function start(id, host) {
  mkdirSync(join(dir, 'log'), { recursive: true })
  const script = `exec -a "guest:${id}" sleep 86400`
  spawn('ip', ['netns', 'exec', namespace(host), 'setsid', 'bash', '-c', script], {
    detached: true,
    stdio: 'ignore',
  }).unref()
}

const calls = {
  survey: () => ({
    instances: Object.fromEntries(
      [...new Set(all().map(({ host }) => host))].map((host) => [
        host,
        all()
          .filter((one) => one.host === host)
          .map(shape),
      ]),
    ),
    targets: readdirSync(join(dir, '..'))
      .filter((name) => /^h\d+$/.test(name))
      .map((host) => ({ host, free_mb: 2000 })),
  }),
  list: ({ host }) => ({
    complete: !mode('down-cell'),
    instances: all()
      .filter((one) => one.host === host)
      .map(shape),
  }),
  prepare: () => ({}),
  locate: ({ host, instances }) => ({
    where: Object.fromEntries(
      instances.map((id) => {
        if (!existsSync(file(id))) return [id, { at: 'gone' }]
        const record = read(id)
        if (record.host === host) return [id, { at: 'source' }]
        const ref = record.token ?? 'none'
        if (runsOn(id, record.host)) return [id, { at: 'moved', ref, to: record.host }]
        return [
          id,
          Date.now() - record.at < 5000
            ? { at: 'moving', ref, to: record.host }
            : { at: 'failed', ref, why: `it does not run on ${record.host}` },
        ]
      }),
    ),
  }),
  start({ instance, source, target, token }) {
    if (!existsSync(file(instance))) return { got: 'refused', why: 'no such instance', final: true }
    const record = read(instance)
    if (record.token === token) return { got: 'accepted', ref: token }
    if (record.host !== source && runsOn(instance, record.host))
      return { got: 'refused', why: `it runs on ${record.host}`, final: false }
    if (!powered(target)) return { got: 'refused', why: `${target} is off`, final: false }
    write({ ...record, host: target, token, at: Date.now() })
    start(instance, target)
    if (mode('lost-ack')) process.exit(7)
    return { got: 'accepted', ref: token }
  },
  /** Stops there before it starts here: as with a real hand-over it never runs twice. */
  migrate({ instance, source, target }) {
    const record = read(instance)
    if (record.host !== source) return { got: 'refused', why: `it belongs to ${record.host}`, final: true }
    if (!powered(target)) return { got: 'refused', why: `${target} is off`, final: false }
    for (const pid of guestPids(instance, source)) process.kill(Number(pid), 'SIGKILL')
    write({ ...record, host: target, token: null, at: Date.now() })
    start(instance, target)
    return { got: 'accepted' }
  },
  readmit: () => ({ done: true }),
}

/** For the test: `add ID HOST`, `open HOST` (what belongs there may run again). */
if (process.argv[4] === 'add') {
  mkdirSync(join(dir, 'instances'), { recursive: true })
  write({ id: process.argv[5], host: process.argv[6], at: Date.now() })
  start(process.argv[5], process.argv[6])
} else if (process.argv[4] === 'open') {
  for (const { id, host } of all()) if (host === process.argv[5] && !runsOn(id, host)) start(id, host)
} else {
  const call = JSON.parse(readFileSync(0, 'utf8'))
  process.stdout.write(JSON.stringify(calls[call.call](call)))
}
