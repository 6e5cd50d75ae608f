/** Why a boot comes to no address, or to a file of somebody else: rules about DHCP. Pure. */
import { evidenceOf, stopping, type BootRule } from './boot-evidence.ts'

/** Firmware asks for its boot file as soon as it has an address. */
const ASKS_MS = 15_000

/** Beside the DHCP server of a site: who has its address from there may have the name of its loader from there too. */
export const otherBootServer: BootRule = ({ live: { seen, signs }, nowMs }) => {
  const dhcp = seen.get('dhcp')
  const asked = (['tftp-ask', 'http-ask', 'says-tftp'] as const).some((sign) => signs.has(sign))
  if (!dhcp?.detail.startsWith('took ') || asked || seen.has('loader') || seen.has('script')) return []
  // Who just has its address will ask for a file.
  if (nowMs - dhcp.atMs < ASKS_MS) return []
  return [
    {
      cause:
        'the firmware may follow another boot server: the DHCP server that gave it its address names a boot file, or ' +
        'there is another proxyDHCP server',
      evidence: [`DHCP: ${dhcp.detail}`, `it asked for no file here in ${Math.round((nowMs - dhcp.atMs) / 1000)} s`],
      remedy:
        'take boot file and next server (options 66, 67, 43, 60) out of the other server, or set ' +
        'boot.subnets[].firstChoice; rackward doctor names such servers',
    },
  ]
}

/** Offers that are not taken: they are lost, or another one was better. */
export const notTaken: BootRule = ({ live: { seen, signs } }) => {
  const offers = signs.get('offer')
  if (!offers || offers.count < 2 || seen.has('dhcp')) return []
  return [
    {
      cause: 'the answers of DHCP do not reach the server',
      evidence: [evidenceOf('offer', offers), 'it took none of them'],
      remedy:
        'look at the relay (option 82, giaddr), at DHCP snooping and at the VLAN of the switch port; rackward ' +
        'doctor looks for other DHCP servers',
    },
  ]
}

const NOT_HERE =
  'its DHCP requests do not arrive here: the switch port is in the wrong VLAN, or blocks for longer than the firmware ' +
  'tries (spanning tree, LACP), or no relay passes them on'
const LOOK_AT_PORT =
  'look at the VLAN of the switch port, at its spanning tree (port-fast), at LACP (it must pass single links), and at the ' +
  'DHCP relay'

export const saysOfDhcp: BootRule = (at) => {
  const timeOut = at.live.seen.has('dhcp') ? undefined : stopping(at, 'says-tftp', 'loader')
  const sign = at.live.signs.has('says-no-offer') ? 'says-no-offer' : 'says-tftp'
  const seen = stopping(at, 'says-no-offer', 'loader') ?? timeOut
  if (!seen) return []
  const asked = at.live.seen.has('dhcp') || at.live.signs.has('offer')
  return [
    asked
      ? {
          cause: 'the answers of DHCP do not reach the server',
          evidence: [evidenceOf(sign, seen), 'its requests arrive here, and were answered'],
          remedy: 'look at the relay (option 82, giaddr), at DHCP snooping and at the VLAN of the switch port',
        }
      : {
          cause: NOT_HERE,
          evidence: [evidenceOf(sign, seen), 'no DHCP request of it arrived'],
          remedy: LOOK_AT_PORT,
        },
  ]
}

/** Firmware sends the first request at once. */
const ARRIVES_MS = 15_000

export const neverArrived: BootRule = ({ live: { seen, signs }, nowMs, strangers }) => {
  const tries = signs.get('says-network')
  const silent = !(['offer', 'machine', 'no-address', 'says-no-offer', 'says-tftp'] as const).some((sign) =>
    signs.has(sign),
  )
  if (!tries || !silent || seen.size > 0 || strangers.length > 0 || nowMs - tries.firstAtMs < ARRIVES_MS) return []
  return [
    {
      cause: NOT_HERE,
      evidence: [evidenceOf('says-network', tries), 'no DHCP request arrived since then'],
      remedy: LOOK_AT_PORT,
    },
  ]
}
