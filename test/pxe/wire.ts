/** A small network for tests of DHCP: this machine, a namespace that is the site with its dnsmasq, and a namespace that
 *  is a server to boot. */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { until } from '../../kit/clock.ts'
import { run, runOk } from '../../kit/run.ts'
import { decodePacket, encodePacket, type Packet } from '../../pxe/dhcp/packet.ts'

const TIMEOUT_MS = 10_000

/** Sends what stands on its input (address, port, bytes in hexadecimal) from a port of one interface, and prints what
 *  comes there. */
const TALKER = `import socket,sys,threading
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)
s.setsockopt(socket.SOL_SOCKET,socket.SO_BROADCAST,1)
s.setsockopt(socket.SOL_SOCKET,25,b'eth0\\0')
s.bind(('',int(sys.argv[1])))
def hear():
    while True:
        data,(ip,port)=s.recvfrom(9000)
        print(ip,port,data.hex(),flush=True)
threading.Thread(target=hear,daemon=True).start()
for line in sys.stdin:
    ip,port,data=line.split()
    s.sendto(bytes.fromhex(data),(ip,int(port)))
`

export interface Reply {
  readonly from: string
  readonly packet: Packet
}

export class Wire {
  readonly prefix = `rw${randomBytes(3).toString('hex')}`
  readonly site = `${this.prefix}s`
  readonly booting = `${this.prefix}b`
  /** The interface of this machine. */
  readonly own = `${this.prefix}o`
  /** Of tests that run beside this one, each has its own networks. */
  private readonly octet = 128 + ((randomBytes(1)[0] as number) % 127)
  private readonly third = (randomBytes(1)[0] as number) & 0xfe
  private readonly children: ChildProcess[] = []

  /** An address of the network 0 (this machine and the site) or 1 (behind a relay). */
  readonly at = (network: 0 | 1, host: number): string => `10.${this.octet}.${this.third + network}.${host}`
  readonly cidr = (network: 0 | 1): string => `${this.at(network, 0)}/24`

  /** `isRouted`: the server to boot is behind the site's router; otherwise all three are on one link. */
  async open({ isRouted }: { isRouted: boolean }): Promise<void> {
    const inSite = (...args: string[]) => ip('-n', this.site, ...args)
    for (const namespace of [this.site, this.booting]) await ip('netns', 'add', namespace)
    await ip('link', 'add', this.own, 'type', 'veth', 'peer', 'name', 'uplink', 'netns', this.site)
    await inSite('link', 'add', 'rack', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', this.booting)
    await ip('addr', 'add', `${this.at(0, 1)}/24`, 'dev', this.own)
    await ip('link', 'set', this.own, 'up')
    if (isRouted) {
      await inSite('addr', 'add', `${this.at(0, 2)}/24`, 'dev', 'uplink')
      await inSite('addr', 'add', `${this.at(1, 1)}/24`, 'dev', 'rack')
    } else {
      await inSite('link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0')
      for (const port of ['uplink', 'rack']) await inSite('link', 'set', port, 'master', 'br0')
      await inSite('addr', 'add', `${this.at(0, 2)}/24`, 'dev', 'br0')
      await inSite('link', 'set', 'br0', 'up')
    }
    for (const link of ['lo', 'uplink', 'rack']) await inSite('link', 'set', link, 'up')
    await ip('-n', this.booting, 'link', 'set', 'eth0', 'up')
    if (!isRouted) return
    await runOk(['ip', 'netns', 'exec', this.site, 'sysctl', '-qw', 'net.ipv4.ip_forward=1'], { timeoutMs: TIMEOUT_MS })
    await ip('route', 'add', this.cidr(1), 'via', this.at(0, 2))
  }

  async close(): Promise<void> {
    for (const child of this.children.splice(0)) child.kill('SIGKILL')
    await run(['ip', 'link', 'delete', this.own], { timeoutMs: TIMEOUT_MS })
    for (const namespace of [this.site, this.booting])
      await run(['ip', 'netns', 'delete', namespace], { timeoutMs: TIMEOUT_MS })
  }

  /** dnsmasq of the site. `conf`: its configuration, beside its arguments. */
  dnsmasq(conf: string, ...args: string[]): void {
    const fixed = ['--no-daemon', `--conf-file=${conf}`, '--port=0', '--user=root', '--leasefile-ro', '--no-ping']
    this.start(this.site, ['dnsmasq', ...fixed, ...args])
  }

  /** Any other program of the site. */
  inSite(argv: readonly string[]): void {
    this.start(this.site, argv)
  }

  /** The server to boot takes an address, as its firmware does. */
  async address(cidr: string, router: string): Promise<void> {
    await ip('-n', this.booting, 'addr', 'add', cidr, 'dev', 'eth0')
    await ip('-n', this.booting, 'route', 'replace', 'default', 'via', router)
  }

  talker(port: number): Talker {
    return new Talker(this.start(this.booting, ['python3', '-c', TALKER, String(port)]))
  }

  private start(namespace: string, argv: readonly string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', namespace, ...argv], { stdio: ['pipe', 'pipe', 'ignore'] })
    this.children.push(child)
    return child
  }
}

/** One socket of the server to boot. */
export class Talker {
  private readonly heard: Reply[] = []
  private readonly child: ChildProcess

  constructor(child: ChildProcess) {
    this.child = child
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const [from = '', , hex = ''] = line.split(' ')
      this.heard.push({ from, packet: decodePacket(Buffer.from(hex, 'hex')) })
    })
  }

  /** Sends a packet again and again, as clients do, until the answers to it are what is wanted. */
  async ask(
    packet: Packet,
    to: { ip: string; port: number },
    wanted: (replies: readonly Reply[]) => boolean,
  ): Promise<readonly Reply[]> {
    const bytes = encodePacket(packet).toString('hex')
    let tries = 0
    return until(
      async () => {
        const replies = this.heard.filter((reply) => reply.packet.xid === packet.xid)
        if (wanted(replies)) return replies
        if (tries % 10 === 0) this.child.stdin?.write(`${to.ip} ${to.port} ${bytes}\n`)
        tries += 1
        return undefined
      },
      { what: `the answers to packet ${packet.xid}`, timeoutMs: 30_000, everyMs: 100 },
    )
  }
}

const ip = (...args: string[]) => runOk(['ip', ...args], { timeoutMs: TIMEOUT_MS })
