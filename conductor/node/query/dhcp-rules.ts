/** Why a boot comes to no address, or to a file of somebody else: rules about DHCP. Pure. */
import { evidenceOf, rule, stopping, type BootRule } from './boot-evidence.ts'

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
  'tries (spanning tree, MAC authentication, LACP), or no relay passes them on'
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

/** The first request that arrived was not the first that was sent: the others were sent into a port that was up and did
 *  not forward. */
export const BLOCKED =
  'its switch port did not forward for a while after the link came up (spanning tree, MAC authentication, LACP)'
export const BLOCKED_REMEDY =
  'make the switch port an edge port (port-fast); where it authenticates MACs, let that come before 802.1X; where it ' +
  'is part of an LACP bundle, let it forward without a partner (LACP fallback, no suspend-individual)'

export const blocked: BootRule = rule('late', 'loader', () => [
  `${BLOCKED}: the firmware may have given up before`,
  BLOCKED_REMEDY,
])

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

/** A request that comes from a network in which it does not belong, by its relay or interface. */
const ELSEWHERE = /no subnet is configured for|is none of those that may ask/

export const noAddress: BootRule = rule('no-address', 'loader', ({ details }) => {
  const why = details.at(-1) ?? ''
  return ELSEWHERE.test(why)
    ? [
        `its DHCP requests arrive from a network that is none of its own: its switch port is in the wrong VLAN, or boot.subnets lacks this network: ${why}`,
        'look at the VLAN of the switch port, then at boot.subnets and its relays',
      ]
    : [`DHCP has no address for it: ${why}`, 'look at boot.subnets: pool, fixed addresses, relays']
})

/** Firmware may need so long before it sends the first request. */
const STARTS_MS = 60_000

/** Neither the network nor a console says a word: what speaks is that its BMC took the boot device, and that no unknown
 *  card asked instead. */
export const silentPort: BootRule = ({ node, live: { seen, signs, bootedAtMs }, nowMs, strangers, ...at }) => {
  const kept = signs.get('override-kept')
  const others = [...signs.keys()].filter((sign) => sign !== 'override-kept')
  const asked = strangers.length + at.strangersBefore.length
  if (!kept || others.length > 0 || seen.size > 0 || asked > 0 || node.powerState !== 'power on') return []
  if (nowMs - kept.atMs < STARTS_MS || nowMs - bootedAtMs < STARTS_MS) return []
  const heard = at.othersHeard ?? 0
  return [
    {
      cause:
        'nothing of the server arrives here, although it was told to boot from the network: its switch port is in the wrong VLAN, has no link, or blocks for longer than the firmware tries (spanning tree, MAC authentication, LACP), or its firmware does not try',
      evidence: [
        'power_state is "power on"',
        evidenceOf('override-kept', kept),
        `no DHCP request of its ports, nor of an unknown card, in ${Math.round((nowMs - bootedAtMs) / 1000)} s`,
        ...(heard > 0 ? [`requests of ${heard} other ${heard === 1 ? 'server' : 'servers'} arrived meanwhile`] : []),
        'its serial console said nothing, or is not read (bmc.readBootConsoles)',
      ],
      remedy:
        'look at the VLAN and the link of the switch port (with "rackward node console" at what the firmware shows), then at the boot order of the firmware',
    },
  ]
}
