/** What people, the conductor and the manager of instances do meanwhile. */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { heard, off, reaches, watched, type Scenario } from './shared.ts'

/** A host that somebody holds, and that then dies. On a busy machine it hangs until its watchdog resets it: it is
 *  switched on then. */
const held = (hold: { kind?: string; why: string }): Pick<Scenario, 'inject' | 'heal'> => ({
  async inject(lab, host) {
    await lab.api('PUT', `/rackward/v1/mesh/hosts/${host.name}/hold`, hold)
    await lab.hang(host)
  },
  async heal(lab, host) {
    await lab.resume(host)
    await lab.powerOn(host)
    await heard(lab, host)
    await lab.api('DELETE', `/rackward/v1/mesh/hosts/${host.name}/hold`)
  },
})

export const ORDERS: readonly Scenario[] = [
  {
    number: 62,
    says: 'the answer to a move is lost: it is moved once',
    wanted: 'moved',
    async inject(lab, host) {
      await writeFile(join(lab.dir, 'cloud/mode-lost-ack'), '')
      await lab.cutPower(host)
    },
    async heal(lab, host) {
      await lab.clear({ ...host, dir: join(lab.dir, 'cloud') }, 'mode-lost-ack')
      await lab.powerOn(host)
    },
  },
  {
    number: 74,
    says: 'maintenance is set just before it dies',
    daily: true,
    wanted: 'nothing',
    watchMs: 10_000,
    ...held({ why: 'a test' }),
  },
  {
    number: 75,
    says: 'the conductor deploys it',
    wanted: 'nothing',
    watchMs: 8_000,
    ...held({ kind: 'deploying', why: 'a deploy' }),
  },
  {
    number: 190,
    says: 'it is drained',
    wanted: 'emptied',
    inject: async (lab, host) =>
      void (await lab.rackward(['mesh', 'drain', host.name, '--why', 'a test', '--wait', '60'], 70_000)),
    heal: async (lab, host) => void (await lab.rackward(['mesh', 'maintenance', 'off', host.name])),
  },
  {
    number: 191,
    says: 'a fenced host is imaged again: it comes back with another key, and is let in',
    wanted: 'moved',
    async inject(lab, host) {
      await lab.cutPower(host)
      await reaches(lab, host, ['evacuated'])
      await lab.api('PUT', `/rackward/v1/mesh/hosts/${host.name}/hold`, {
        kind: 'deploying',
        why: 'rebuild',
        reimaged: true,
      })
      await rm(join(host.dir, 'data'), { recursive: true })
    },
    async heal(lab, host) {
      await lab.powerOn(host)
      await heard(lab, host)
      await lab.api('DELETE', `/rackward/v1/mesh/hosts/${host.name}/hold`)
    },
  },
  {
    number: 84,
    says: 'disarmed, and a host dies: told, and nothing; armed again, it is moved',
    wanted: 'moved',
    async inject(lab, host) {
      await lab.api('PUT', '/rackward/v1/mesh/policy', { armed: false, why: 'a test' })
      await lab.hang(host)
      await watched(lab, 8_000, async () => {
        if ((await lab.calls(host)).at(-1) === 'set power 0')
          throw new Error('it was switched off while the mesh was disarmed')
      })
      await lab.api('PUT', '/rackward/v1/mesh/policy', { armed: true, why: 'a test' })
    },
    heal: off,
  },
]
