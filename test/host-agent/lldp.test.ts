/** Listening for LLDP on real (virtual) cards: a network namespace with two links, of which one has a switch that
 *  announces itself. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { listenForLldp } from '../../host-agent/deploy/lldp.ts'
import { systemClock } from '../../kit/clock.ts'
import { run, runOk, type Run } from '../../kit/run.ts'

const namespace = `rw-lldp-${randomBytes(3).toString('hex')}`
const inside: Run = (argv, options) => run(['ip', 'netns', 'exec', namespace, ...argv], options)
const ip = (...args: string[]) => runOk(['ip', '-n', namespace, ...args], { timeoutMs: 10_000 })
/** Sends frames, given in hexadecimal, from one end of a link, each so many times, 0.2 s apart. */
const SEND = `import socket,sys,time
s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW); s.bind((sys.argv[1],0))
for i in range(int(sys.argv[2])):
    for f in sys.argv[3:]: s.send(bytes.fromhex(f).ljust(60,b'\\0'))
    time.sleep(0.2)
`
const HEADER = '0180c200000e02000000000188cc'
const GOODBYE = `${HEADER}0204077377310403053131060200000000`
const HELLO = `${HEADER}0204077377310403053131060200780000`

beforeAll(async () => {
  await runOk(['ip', 'netns', 'add', namespace], { timeoutMs: 10_000 })
  for (const n of [0, 1]) {
    await ip('link', 'add', `card${n}`, 'type', 'veth', 'peer', 'name', `switch${n}`)
    for (const end of ['card', 'switch']) await ip('link', 'set', `${end}${n}`, 'up')
  }
})
afterAll(() => run(['ip', 'netns', 'delete', namespace], { timeoutMs: 10_000 }))

test('the first announcement of each card is heard among other frames; a card that hears nothing is left out; no tap is left', async () => {
  const sender = inside(
    ['python3', '-c', SEND, 'switch0', '20', `ffffffffffff0200000000010806${'00'.repeat(28)}`, GOODBYE, HELLO],
    {
      timeoutMs: 30_000,
    },
  )
  const heard = await listenForLldp({ run: inside, clock: systemClock, cards: ['card0', 'card1'], waitMs: 3_000 })
  expect([...heard]).toEqual([
    [
      'card0',
      [
        [1, '07737731'],
        [2, '053131'],
        [3, '0078'],
      ],
    ],
  ])
  expect(await ip('-o', 'link')).not.toContain('lldp')
  await sender
})

test('it ends as soon as every card has heard one, and at once where nobody waits', async () => {
  const sender = inside(['python3', '-c', SEND, 'switch1', '20', HELLO], { timeoutMs: 30_000 })
  const parts = { run: inside, clock: systemClock, cards: ['card1'] }
  expect([...(await listenForLldp({ ...parts, waitMs: 600_000 })).keys()]).toEqual(['card1'])
  expect([...(await listenForLldp({ ...parts, waitMs: 0 })).keys()]).toEqual([])
  await sender
})

test('a card that is not there leaves the others', async () => {
  const parts = { run: inside, clock: systemClock, cards: ['no-card'], waitMs: 600_000 }
  expect((await listenForLldp(parts)).size).toBe(0)
})
