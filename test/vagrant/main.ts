/** `npm run vagrant [-- --no-box]`: says what it makes and how long that takes, makes it, and says what comes next. */
import { defaultCache } from '../../cli/image.ts'
import { lastSeconds, minutesText, remember } from '../lab/duration.ts'
import { prepare } from './prepare.ts'

const say = (line: string) => void process.stderr.write(`${line}\n`)
const cache = defaultCache()
const box = !process.argv.includes('--no-box')
const key = `vagrant prepare${box ? '' : ' without box'}`

const before = await lastSeconds(cache, key)
say(
  `preparing dist/vagrant: packages, deploy ramdisk, image, practice program${box ? ', and a box of Debian that needs no download' : ''}`,
)
say(
  before === undefined
    ? 'the first time takes about 10 minutes on two cores; what was built is kept in ~/.cache/rackward'
    : `the last time took ${minutesText(before)} on this machine`,
)
const startedMs = Date.now()
await prepare({ box })
const seconds = (Date.now() - startedMs) / 1000
await remember(cache, key, seconds)
say(`ready after ${minutesText(seconds)}. Next:
  vagrant up                       a conductor and three blank servers; it says how long that takes
  http://localhost:6385/ui/        then: the web console (vagrant up prints how to get the password)
  vagrant/README.md                what to do with them`)
