/** A working model of a hardware watchdog: armed by the first byte, it resets its machine when no byte comes for so
 *  long; the machine then takes a while to boot. `V` disarms, and so does losing its power. */
import { spawnSync } from 'node:child_process'
import { appendFileSync, constants, openSync, read, readFileSync } from 'node:fs'
import { join } from 'node:path'

const [dir, seconds] = process.argv.slice(2)
const fd = openSync(join(dir, 'watchdog'), constants.O_RDWR | constants.O_NONBLOCK)
const buffer = Buffer.alloc(64)
let petted = 0
const BOOT_MS = 30_000
const off = () => readFileSync(join(dir, 'power'), 'utf8').trim() === '0'

function poll() {
  read(fd, buffer, 0, buffer.length, null, (error, count) => {
    if (!error && count > 0) petted = buffer.subarray(0, count).includes('V') ? 0 : Date.now()
    if (off()) petted = 0
    if (petted > 0 && Date.now() - petted > Number(seconds) * 1000) {
      petted = 0
      appendFileSync(join(dir, 'watchdog-fired'), `${new Date().toISOString()}\n`)
      spawnSync(join(dir, 'chassis.sh'), ['reset'])
      setTimeout(() => spawnSync(join(dir, 'on.sh')), BOOT_MS)
    }
    setTimeout(poll, 100)
  })
}
poll()
