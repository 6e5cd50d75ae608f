/** A real conductor that kills itself with SIGKILL at the N-th moment around a stored effect: before and after each
 *  save, before and after each act. Its BMC is a file, because a BMC goes on when the conductor dies. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startConductor } from '../../conductor/conductor.ts'
import { makePerformer } from '../../conductor/start/provisioning.ts'
import { loadConfig } from '../../conductor/config.ts'
import { makeLog } from '../../kit/log.ts'
import type { Run } from '../../kit/run.ts'
import { storeWith } from './store-with.ts'

const [, , configFile = '', bmcDir = '', nth = '0'] = process.argv
let left = Number(nth)

// Its parent is gone.
process.stdin.resume().on('end', () => process.exit(1))

function moment(): void {
  left -= 1
  if (left === 0) process.kill(process.pid, 'SIGKILL')
}

/** ipmitool, as far as the wrapper calls it. */
const ipmitool: Run = async (argv) => {
  const ok = (stdout: string) => ({ code: 0, stdout, stderr: '' })
  const text = argv.join(' ')
  if (text.endsWith('power status'))
    return ok(`Chassis Power is ${(await readFile(join(bmcDir, 'power'), 'utf8')).trim()}\n`)
  const power = /power (on|off)$/.exec(text)?.[1]
  if (power) await writeFile(join(bmcDir, 'power'), power)
  const flags = /raw 0x00 0x08 0x05 (\S+) (\S+)/.exec(text)
  if (flags) await writeFile(join(bmcDir, 'boot'), flags[2] === '0x04' ? 'pxe' : 'disk')
  await writeFile(join(bmcDir, 'log'), `${text.replace(/.*-R 3 /, '')}\n`, { flag: 'a' })
  return ok('')
}

await startConductor(await loadConfig(configFile), {
  log: makeLog('crash-child', { level: 'error' }),
  run: ipmitool,
  fleet: null,
  makePerformer: (...of) => {
    const performer = makePerformer(...of)
    return {
      async perform(effect, node, signal) {
        moment()
        const found = await performer.perform(effect, node, signal)
        moment()
        return found
      },
    }
  },
  openStore: storeWith(
    (store) =>
      new Proxy(store, {
        get(target, name) {
          if (name !== 'putNode') return Reflect.get(target, name)?.bind?.(target) ?? Reflect.get(target, name)
          return async (...args: Parameters<typeof store.putNode>) => {
            moment()
            const saved = await store.putNode(...args)
            moment()
            return saved
          }
        },
      }),
  ),
})
