/** Thousands of IPMI BMCs in one process, each on an address of its own and with a password of its own; some are dead.
 *  Counts the power reads by BMC. */
import { RmcpBmc } from '../fake/rmcp-bmc.ts'
import { addressOf, PORT, passwordOf } from './rmcp-addresses.ts'

const [count = '0'] = process.argv.slice(2)
const bmcs: RmcpBmc[] = []
for (let n = 0; n < Number(count); n += 1)
  bmcs.push(await RmcpBmc.start({ address: addressOf(n), port: PORT, password: passwordOf(n) }))

const isRead = ({ netFn, command }: { netFn: number; command: number }) => netFn === 0 && command === 1

process.on('message', ({ deadEvery }: { deadEvery?: number }) => {
  const reads = bmcs.filter((bmc) => bmc.heard.some(isRead)).length
  // Those that were never opened to the end come of datagrams that were sent again.
  const open = bmcs.reduce((sum, bmc) => sum + [...bmc.sessions.values()].filter(({ keys }) => keys).length, 0)
  for (const [n, bmc] of bmcs.entries()) {
    bmc.heard.splice(0)
    bmc.sessions.clear()
    const isDead = deadEvery !== undefined && n % deadEvery === 0
    bmc.takes = () => !isDead
  }
  process.send?.({ reads, open })
})
process.on('disconnect', () => process.exit())
process.send?.('ready')
