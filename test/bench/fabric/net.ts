/** A switch of network namespaces: each node has a link that carries so much in each direction, the image server has
 *  the uplink, and the tracker a way of its own. Rates are kept by tbf(8) at both ends of each link. */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { sh } from '../../lab/shell.ts'

export interface Rate {
  readonly bitsPerSecond: number
  /** Of the queue before it drops. */
  readonly limitBytes: number
}

export const SEED_IP = '10.50.255.1'
export const TRACKER_IP = '10.50.255.2'
export const ipOf = (node: number): string => `10.50.${Math.floor(node / 200)}.${(node % 200) + 1}`

/** Of the card of the n-th end. */
const macOf = (n: number): string =>
  `02:00:00:00:${[n >> 8, n & 255].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`

const BURST_BYTES = 8_192
const NETMASK = 16
const BATCH_MS = 300_000
const LINKS = z.array(z.object({ stats64: z.object({ tx: z.object({ bytes: z.number() }) }) }))

const shape = ({ bitsPerSecond, limitBytes }: Rate, device: string, act: 'add' | 'change'): string =>
  `qdisc ${act} dev ${device} root tbf rate ${Math.round(bitsPerSecond)}bit burst ${BURST_BYTES} limit ${limitBytes}`

export class Fabric {
  private readonly name: string
  private readonly dir: string
  private readonly made: string[] = []

  constructor(name: string, dir: string) {
    this.name = name
    this.dir = dir
  }

  get switch(): string {
    return `${this.name}-switch`
  }
  spaceOf = (end: number | 'seed' | 'tracker'): string => `${this.name}-${end}`

  async up(nodes: number, rates: { node: Rate; uplink: Rate }): Promise<void> {
    const ends = [...Array(nodes).keys(), 'seed', 'tracker'] as const
    const spaces = [this.switch, ...ends.map(this.spaceOf)]
    for (const space of spaces) this.made.push(space)
    await this.batch(
      'ip',
      spaces.map((space) => `netns add ${space}`),
    )
    const port = (i: number) => `p${i}`
    await this.batch(
      'ip',
      [
        'link add br0 type bridge forward_delay 0',
        'link set br0 up',
        ...ends.flatMap((end, i) => [
          `link add ${port(i)} type veth peer name eth0 address ${macOf(i)} netns ${this.spaceOf(end)}`,
          `link set ${port(i)} master br0 up`,
        ]),
      ],
      this.switch,
    )
    const rateOf = (end: (typeof ends)[number]) =>
      end === 'tracker' ? undefined : end === 'seed' ? rates.uplink : rates.node
    const addressOf = (end: (typeof ends)[number]) =>
      end === 'seed' ? SEED_IP : end === 'tracker' ? TRACKER_IP : ipOf(end)
    await this.batch(
      'tc',
      ends.flatMap((end, i) => {
        const rate = rateOf(end)
        return rate ? [shape(rate, port(i), 'add')] : []
      }),
      this.switch,
    )
    for (const [own, end] of ends.entries()) {
      const space = this.spaceOf(end)
      await this.batch(
        'ip',
        [
          `address add ${addressOf(end)}/${NETMASK} dev eth0`,
          'link set eth0 up',
          'link set lo up',
          // The kernel resolves no more than some 1,000 neighbours of all namespaces together; these do not count.
          ...ends.flatMap((other, i) =>
            i === own ? [] : [`neigh add ${addressOf(other)} lladdr ${macOf(i)} dev eth0 nud permanent`],
          ),
        ],
        space,
      )
      const rate = rateOf(end)
      if (rate) await this.batch('tc', [shape(rate, 'eth0', 'add')], space)
    }
  }

  /** Bytes that left this end since its link was made, with the heads of their packets. */
  async sentBytes(end: number | 'seed' | 'tracker'): Promise<number> {
    const [link] = LINKS.parse(
      JSON.parse(await sh(['ip', '-n', this.spaceOf(end), '-s', '-j', 'link', 'show', 'eth0'])),
    )
    return link?.stats64.tx.bytes ?? 0
  }

  /** From now on the link of this node carries so much. */
  async reshape(node: number, rate: Rate): Promise<void> {
    await this.batch('tc', [shape(rate, `p${node}`, 'change')], this.switch)
    await this.batch('tc', [shape(rate, 'eth0', 'change')], this.spaceOf(node))
  }

  /** Links go with their namespaces. */
  async down(): Promise<void> {
    await this.batch(
      'ip',
      this.made.map((space) => `netns delete ${space}`),
    ).catch(() => undefined)
  }

  private async batch(program: 'ip' | 'tc', lines: readonly string[], space?: string): Promise<void> {
    if (lines.length === 0) return
    const file = join(this.dir, 'batch')
    await writeFile(file, `${lines.join('\n')}\n`)
    await sh([program, ...(space ? ['-n', space] : []), '-force', '-batch', file], BATCH_MS)
    await rm(file)
  }
}
