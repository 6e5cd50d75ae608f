/** The load generators of `npm run bench -- boot`: compiled once per run, started in the namespace of the clients. What
 *  they say is believed only where nothing went wrong. */
import { join } from 'node:path'
import { run } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'
import { inNamespace, sh } from '../lab/shell.ts'
import { FIRST_CLIENT_IP, LOADER, RELAY_IP, SERVER_IP, type Peer } from './boot-peers.ts'

export interface DhcpRun {
  readonly done: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** Packets that were sent again after a second. */
  readonly retries: number
  readonly failed: number
  readonly naks: number
  /** Addresses that two clients got. */
  readonly twice: number
}

export interface TftpRun {
  readonly bytes: number
  readonly seconds: number
  readonly whole: number
  readonly wrong: number
  readonly refused: number
  readonly silent: number
  readonly unfinished: number
}

export interface DhcpLoad {
  readonly outstanding: number
  readonly seconds: number
  readonly clients: number
  /** The number of the first of them. */
  readonly first?: number
  /** So many transactions at most. */
  readonly most?: number
  readonly relays?: readonly string[]
}

export interface TftpLoad {
  readonly clients: number
  readonly transfers: number
  readonly window: number
  readonly lossPercent: number
  readonly seconds: number
}

const MUCH = 1_000_000_000
const EXTRA_MS = 30_000
const BLOCK_BYTES = 1428

export class Generators {
  private readonly dir: string
  private readonly files: string

  private constructor(dir: string, files: string) {
    this.dir = dir
    this.files = files
  }

  /** `files`: where the servers have theirs. */
  static async make(dir: string, files: string): Promise<Generators> {
    for (const name of ['dhcp-load', 'tftp-load'])
      await sh(['gcc', '-O2', '-o', join(dir, name), join(ROOT, 'test/bench/load', `${name}.c`)], 60_000)
    return new Generators(dir, files)
  }

  async dhcp(peer: Peer, load: DhcpLoad): Promise<DhcpRun> {
    const { outstanding, seconds, clients, first = 0, most = MUCH, relays = [RELAY_IP] } = load
    const numbers = [outstanding, seconds, first, clients, most].map(String)
    const argv = ['dhcp-load', 'take', SERVER_IP, relays.join(','), ...numbers]
    const said = await this.started<DhcpRun>(peer, argv, seconds)
    if (said.twice > 0) throw new Error(`${peer.name} gave ${said.twice} addresses twice`)
    return said
  }

  flood(peer: Peer, { perSecond, seconds }: { perSecond: number; seconds: number }): Promise<{ sent: number }> {
    return this.started(peer, ['dhcp-load', 'flood', SERVER_IP, RELAY_IP, String(perSecond), String(seconds)], seconds)
  }

  async tftp(peer: Peer, { clients, transfers, window, lossPercent, seconds }: TftpLoad): Promise<TftpRun> {
    const numbers = [BLOCK_BYTES, window, clients, transfers, lossPercent, seconds].map(String)
    const argv = ['tftp-load', SERVER_IP, LOADER, join(this.files, LOADER), ...numbers, FIRST_CLIENT_IP]
    const said = await this.started<TftpRun>(peer, argv, seconds)
    if (said.wrong > 0) throw new Error(`${peer.name} sent ${said.wrong} files that are not what they should be`)
    if (said.refused > 0) throw new Error(`${peer.name} refused ${said.refused} transfers`)
    return said
  }

  private async started<T>(peer: Peer, [name = '', ...args]: readonly string[], seconds: number): Promise<T> {
    const argv = inNamespace(peer.clients, [join(this.dir, name), ...args])
    const { code, stdout, stderr } = await run(argv, { timeoutMs: seconds * 1000 + EXTRA_MS })
    if (code !== 0) throw new Error(`${name} against ${peer.name}: ${stderr}`)
    return JSON.parse(stdout) as T
  }
}
