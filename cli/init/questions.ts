/** The five questions of `rackward init`: what each asks, what it takes for granted, and what an answer means. Pure:
 *  what was found on this machine is handed in. */
import { networkOf, poolProblem, usualPool, type Pool } from '../../conductor/boot/pool.ts'
import { isUserName } from '../user.ts'
import { BMC_DRIVERS, DHCP_MODES, type Answers, type Bmc, type DhcpMode, type Network } from './answers.ts'

export interface Candidate extends Network {
  /** Why it comes first, or not. */
  readonly says: string
}

export interface Found {
  /** Interfaces with an IPv4 address, the likeliest first. */
  readonly networks: readonly Candidate[]
  /** DHCP servers that answered on the chosen network; undefined: nobody could ask. */
  readonly dhcpServers?: readonly string[] | undefined
  /** What is wrong with a file that shall hold a password; undefined: it holds one. */
  readonly passwordFile: (path: string) => string | undefined
}

export type Partial = { -readonly [Name in keyof Answers]?: Answers[Name] }
export type Reply<T> = { readonly value: T } | { readonly problem: string }

export interface Question<Name extends keyof Answers = keyof Answers> {
  readonly name: Name
  /** Of the command line, with what stands behind it. */
  readonly flag: string
  readonly asks: string
  /** Further lines for a person. */
  help(found: Found, sofar: Partial): readonly string[]
  /** What is taken when nothing is answered; undefined: an answer is needed. */
  usual(found: Found, sofar: Partial): string | undefined
  /** Why there is nothing to take for granted. */
  readonly needed: string
  isAsked(sofar: Partial): boolean
  read(text: string, found: Found, sofar: Partial): Reply<Answers[Name]>
}

const no = (problem: string) => ({ problem })
const always = () => true
const ofSubnet = ({ network }: Partial) => {
  const { address, prefix } = network as Network
  return { cidr: networkOf(address, prefix), own: address }
}

const NETWORK: Question<'network'> = {
  name: 'network',
  flag: '--network <interface>',
  asks: 'Which interface leads to the servers that shall be provisioned?',
  help: ({ networks }) =>
    networks.map(
      ({ name, address, prefix, says }) => `${name.padEnd(15)} ${`${address}/${prefix}`.padEnd(18)} ${says}`,
    ),
  usual: ({ networks }) => networks[0]?.name,
  needed: 'no interface of this machine has an IPv4 address: ip address add ADDRESS/PREFIX dev INTERFACE',
  isAsked: always,
  read(text, { networks }) {
    const fits = networks.filter(({ name, address }) => text === name || text === address)
    const [one, other] = fits
    if (one && other)
      return no(`${text} has several addresses: answer one of ${fits.map(({ address }) => address).join(', ')}`)
    if (one) return { value: { name: one.name, address: one.address, prefix: one.prefix } }
    const known = networks.map(({ name, address }) => `${name} (${address})`).join(', ')
    return no(`no interface ${JSON.stringify(text)} with an IPv4 address is here; there are: ${known || 'none'}`)
  },
}

/** What came of the look for other DHCP servers. */
export function heardText({ dhcpServers }: Found, network: Network | undefined): string {
  if (dhcpServers === undefined) return 'only root may look for other DHCP servers, so nobody looked'
  return `${dhcpServers.length === 0 ? 'no DHCP server' : dhcpServers.join(' and ')} answered on ${network?.name}`
}

const DHCP: Question<'dhcp'> = {
  name: 'dhcp',
  flag: '--dhcp <mode>',
  asks: 'Who gives the servers their addresses?',
  help: (found, { network }) => [
    'own    Rackward: it answers the cards of enrolled servers alone',
    'proxy  the DHCP server of the site; Rackward says what to boot (proxyDHCP)',
    'none   nobody: all servers have Redfish BMCs and boot by virtual media',
    `(${heardText(found, network)})`,
  ],
  usual: ({ dhcpServers = [] }) => (dhcpServers.length > 0 ? 'proxy' : 'own'),
  needed: '',
  isAsked: always,
  read: (text) =>
    (DHCP_MODES as readonly string[]).includes(text)
      ? { value: text as DhcpMode }
      : no(`${JSON.stringify(text)} is none of ${DHCP_MODES.join(', ')}`),
}

const POOL: Question<'pool'> = {
  name: 'pool',
  flag: '--pool <first-last>',
  asks: 'Which addresses may be leased?',
  help: (_, sofar) => [`of ${ofSubnet(sofar).cidr}; no other server or machine may use them`],
  usual(_, sofar) {
    const { cidr, own } = ofSubnet(sofar)
    const pool = usualPool(cidr, own)
    return poolProblem(pool, { cidr, own }) === undefined ? `${pool.first}-${pool.last}` : undefined
  },
  needed: 'the subnet of this interface has no room for servers: give the interface a shorter prefix',
  isAsked: ({ dhcp }) => dhcp === 'own',
  read(text, _, sofar): Reply<Pool> {
    const [first = '', last = '', ...rest] = text.split('-').map((part) => part.trim())
    if (last === '' || rest.length > 0) return no('answer FIRST-LAST, such as 192.0.2.100-192.0.2.199')
    const problem = poolProblem({ first, last }, ofSubnet(sofar))
    return problem === undefined ? { value: { first, last } } : no(problem)
  },
}

const BMC: Question<'bmc'> = {
  name: 'bmc',
  flag: '--bmc <driver,user,file>',
  asks: 'How are the BMCs reached: driver, user and file of the password?',
  help: () => [
    'such as: ipmi admin /root/bmc.password (or redfish ...; a file that its owner alone can read)',
    'none: each server has its own; name them when you enroll it',
  ],
  usual: () => 'none',
  needed: '',
  isAsked: always,
  read(text, found): Reply<Bmc | undefined> {
    if (text === 'none') return { value: undefined }
    const [driver = '', user = '', passwordFile = '', ...rest] = text.split(/[\s,]+/)
    const known = BMC_DRIVERS.find((one) => one === driver)
    if (!known)
      return no(`the driver ${JSON.stringify(driver)} is none of ${BMC_DRIVERS.join(', ')}; none: no answer yet`)
    if (user === '' || passwordFile === '' || rest.length > 0)
      return no(`answer DRIVER USER FILE, such as ${driver} admin /root/bmc.password`)
    const problem = found.passwordFile(passwordFile)
    return problem === undefined ? { value: { driver: known, user, passwordFile } } : no(problem)
  },
}

const USER: Question<'user'> = {
  name: 'user',
  flag: '--user <name>',
  asks: 'Who is the first administrator?',
  help: () => ['the password is made up, and stands in clouds.yaml, which its owner alone can read'],
  usual: () => 'admin',
  needed: '',
  isAsked: always,
  read: (text) =>
    isUserName(text) ? { value: text } : no('a user has up to 64 characters, no colon and no white space'),
}

export const QUESTIONS = [NETWORK, DHCP, POOL, BMC, USER] as unknown as readonly Question[]
export const optionOf = ({ flag }: Question): string => (flag.split(' ')[0] as string).slice(2)
