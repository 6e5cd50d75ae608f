/** network_data documents: good ones, with values put in each other's places, or replaced by what is none. */
import type { SeededRandom } from './random.ts'

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }
type Dict = Readonly<Record<string, Json>>

const MAC = '52:54:00:00:00:01'
const PHYSICAL = { id: 'eth0', type: 'phy', ethernet_mac_address: MAC, mtu: 1500 }
const OTHER = { ...PHYSICAL, id: 'eth1', ethernet_mac_address: '52:54:00:00:00:02' }
const BOND = {
  id: 'bond0',
  type: 'bond',
  bond_mode: '802.3ad',
  bond_links: ['eth0', 'eth1'],
  bond_miimon: 100,
  bond_xmit_hash_policy: 'layer3+4',
  ethernet_mac_address: MAC,
}
const VLAN = { id: 'vlan', type: 'vlan', vlan_link: 'bond0', vlan_id: 12, vlan_mac_address: MAC }
const NETWORK = { id: 'net', type: 'ipv4', ip_address: '192.0.2.20', netmask: '255.255.255.0', gateway: '192.0.2.1' }
const ROUTES = [{ network: '0.0.0.0', netmask: '0.0.0.0', gateway: '192.0.2.1' }]

const ODD: readonly Json[] = [
  null,
  true,
  -1,
  0,
  1.5,
  4095,
  1e300,
  '',
  'x y',
  '${net0/mac}',
  '&&',
  '999.1.1.1',
  '10.0.0.1/33',
  'eth0',
  'bond0',
  'vlan',
  'bond',
  'phy',
  '52:54:00:00:00:0g',
  [],
  [[]],
  {},
  { id: 'eth0' },
  ['eth0', 'eth0'],
  Array.from({ length: 40 }, (_, i) => `eth${i}`),
]

const doc = (link: string): Dict => ({
  links: [PHYSICAL, OTHER, BOND, VLAN],
  networks: [{ ...NETWORK, link, routes: ROUTES }],
  services: [],
})

export const LINKS = {
  made(random: SeededRandom): Dict {
    let made = doc(random.pick(['eth0', 'bond0', 'vlan']))
    for (let changes = random.below(4); changes > 0; changes -= 1) made = asDict(changed(random, made))
    return made
  },
}

/** The API takes objects alone. */
const asDict = (value: Json): Dict =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Dict) : {}

/** Goes down to a value at random, and puts another one there, or none. */
function changed(random: SeededRandom, value: Json): Json {
  const isEnd = typeof value !== 'object' || value === null || random.below(6) === 0
  if (isEnd) return random.pick(ODD)
  if (Array.isArray(value)) {
    const list = value as readonly Json[]
    if (list.length === 0) return random.pick(ODD)
    const at = random.below(list.length)
    return random.below(8) === 0 ? list.toSpliced(at, 1) : list.with(at, changed(random, list[at] ?? null))
  }
  const entries = Object.entries(value as Dict)
  const [name] = entries.length === 0 ? ['id'] : random.pick(entries)
  if (random.below(8) === 0) return Object.fromEntries(entries.filter(([one]) => one !== name))
  return { ...(value as Dict), [name]: changed(random, (value as Dict)[name] ?? null) }
}
