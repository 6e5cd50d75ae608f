/** What happens to the BMCs. */
import { readFile, writeFile } from 'node:fs/promises'
import type { LabNode } from '../lab.ts'
import { bmcs, type Scenario } from './shared.ts'

export const BMCS: readonly Scenario[] = [
  {
    number: 43,
    says: 'the password of the BMC is wrong: told, and the watchdog is the proof',
    wanted: 'moved',
    told: /is not fenced|cannot switch off/,
    async inject(lab, host) {
      lab.keep('bmcs', await readFile(bmcs(lab), 'utf8'))
      await writeFile(
        bmcs(lab),
        (await readFile(bmcs(lab), 'utf8')).replace(new RegExp(`^(${host.name}:.*)secret`, 'm'), '$1wrong'),
      )
      await lab.hang(host)
    },
    async heal(lab, host) {
      await writeFile(bmcs(lab), lab.kept('bmcs'))
      await lab.powerCycle(host)
    },
  },
  {
    number: 44,
    says: 'the BMC takes OFF and does nothing',
    wanted: 'moved',
    async inject(lab, host) {
      await lab.fault(host, 'bmc-stuck')
      await lab.hang(host)
    },
    async heal(lab, host) {
      await lab.clear(host, 'bmc-stuck')
      await lab.powerCycle(host)
    },
  },
  {
    number: 45,
    says: 'the BMC says OFF while the host runs',

    wanted: 'nothing',
    watchMs: 8_000,
    inject: (lab, host) => lab.fault(host, 'bmc-lies'),
    heal: (lab, host) => lab.clear(host, 'bmc-lies'),
  },
  {
    number: 46,
    says: 'the BMC says OFF once, takes OFF and does nothing: one reading is no proof',
    wanted: 'moved',
    async inject(lab, host) {
      await lab.fault(host, 'bmc-stuck')
      await lab.fault(host, 'bmc-blip')
      await lab.hang(host)
    },
    async heal(lab, host) {
      await lab.clear(host, 'bmc-stuck')
      await lab.clear(host, 'bmc-blip')
      await lab.powerCycle(host)
    },
  },
  {
    number: 49,
    says: 'the BMCs of two hosts are mixed up: no power command goes to the other',
    wanted: 'moved',
    told: /belongs to another machine/,
    async inject(lab, host) {
      const other = lab.remember('other', lab.hosts.find((node) => node !== host) as LabNode)
      const text = await readFile(bmcs(lab), 'utf8')
      lab.keep('bmcs', text)
      lab.keep('calls', String((await lab.calls(other)).filter((line) => line === 'set power 0').length))
      const mixed = text
        .replace(new RegExp(`^${host.name}:`, 'm'), 'X:')
        .replace(new RegExp(`^${other.name}:`, 'm'), `${host.name}:`)
        .replace(/^X:/m, `${other.name}:`)
      await writeFile(bmcs(lab), mixed)
      await lab.hang(host)
    },
    async heal(lab, host) {
      await writeFile(bmcs(lab), lab.kept('bmcs'))
      const now = (await lab.calls(lab.recall('other'))).filter((line) => line === 'set power 0').length
      if (String(now) !== lab.kept('calls')) throw new Error('the other host was switched off')
      await lab.powerCycle(host)
    },
  },
]
