/** The servers of `npm run bench -- storm`, in the namespace of the relays: all are switched on at once, take an
 *  address with the packets of EDK2, and then do as iPXE does: fetch the script, wait where it says so, load the
 *  ramdisk. What they met is one line of JSON on standard output. */
import { fetchAll, fetchText, waitSecondsOf } from '../../cli/simulate/network-boot.ts'
import { Measures } from '../../cli/simulate/measures.ts'
import { Relay } from '../../cli/simulate/relay.ts'
import { systemClock } from '../../kit/clock.ts'
import { macOf, SERVER_IP } from './boot-peers.ts'

const DHCP_PORT = 67
const [count, ...addresses] = [Number(process.argv[2]), ...process.argv.slice(3)]

const startMs = performance.now()
const sinceStart = () => (performance.now() - startMs) / 1000
const met = { again: 0, waited: 0, polls: 0, loading: 0, mostLoading: 0, bytes: 0 }
const times = { address: [] as number[], script: [] as number[], ramdisk: [] as number[] }
const leased = new Map<string, number>()
let twice = 0

const { signal } = new AbortController()
const measures = new Measures()
const onAgain = () => (met.again += 1)
const relays = addresses.map(
  (address) => new Relay({ clock: systemClock, address, server: SERVER_IP, port: DHCP_PORT, onAgain }),
)

async function takeAddress(n: number): Promise<string> {
  const relay = relays[n % relays.length] as Relay
  const lease = await relay.lease(macOf(n), 'firmware', signal)
  if (!lease) throw new Error(`nobody offered an address to ${macOf(n)}`)
  if ((leased.get(lease.ip) ?? n) !== n) twice += 1
  leased.set(lease.ip, n)
  return lease.ip
}

const urlOf = (path: string) => `http://${SERVER_IP}:8080${path}`
const at = (localAddress: string) => ({ localAddress, signal, measures })
const tally = (part: Buffer) => void (met.bytes += part.length)

/** How long the script lets the server wait; undefined: it boots. */
async function waitOf(path: string, ip: string): Promise<number | undefined> {
  const script = await fetchText(urlOf(path), at(ip))
  met.bytes += script.length
  return waitSecondsOf(script)
}

async function boot(n: number): Promise<void> {
  const ip = await takeAddress(n)
  times.address.push(sinceStart())
  const path = `/boot/${macOf(n).replaceAll(':', '-')}/script.ipxe`
  let waitSeconds = await waitOf(path, ip)
  times.script.push(sinceStart())
  if (waitSeconds !== undefined) met.waited += 1
  while (waitSeconds !== undefined) {
    met.polls += 1
    await systemClock.sleep(waitSeconds * 1000)
    waitSeconds = await waitOf(path, ip)
  }
  met.loading += 1
  met.mostLoading = Math.max(met.mostLoading, met.loading)
  await fetchAll(urlOf('/ramdisk/kernel'), at(ip), tally)
  await fetchAll(urlOf('/ramdisk/initrd'), at(ip), tally)
  met.loading -= 1
  times.ramdisk.push(sinceStart())
}

await Promise.all(relays.map((relay) => relay.listen()))
const outcomes = await Promise.allSettled(Array.from({ length: count }, (_, n) => boot(n)))
const failed = outcomes.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []))
const last = (list: readonly number[]) => Math.max(0, ...list)
const { again, waited, polls, mostLoading, bytes } = met
const figures = {
  servers: count,
  failed: failed.length,
  why: failed[0] ?? null,
  twice,
  addresses: leased.size,
  again,
  waited,
  polls,
  mostLoading,
  bytes,
  addressSeconds: last(times.address),
  scriptSeconds: last(times.script),
  ramdiskSeconds: last(times.ramdisk),
}
process.stdout.write(`${JSON.stringify(figures)}\n`)
for (const relay of relays) relay.close()
