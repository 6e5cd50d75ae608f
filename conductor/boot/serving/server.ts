/** The process that sends files: answers HTTP on the socket that it is handed, by itself where a file is asked for,
 *  and after asking the boot services where the answer depends on the client. It holds no key and reads no
 *  configuration. */
import type { Server } from 'node:net'
import type { Clock } from '../../../kit/clock.ts'
import type { ParentChannel } from '../../../kit/companion.ts'
import { Fault } from '../../../kit/fault.ts'
import { listen } from '../../../kit/listen.ts'
import { bootHttp, MAX_PIPELINED, type BootFiles } from '../http.ts'
import type { ServedMedia } from '../media-http.ts'
import { servedFile } from '../render.ts'
import { Reports } from './reports.ts'
import type { FileAnswer, FileAsk, FromFiles, ServeSetup, ToFiles } from './wire.ts'

const GATHER_MS = 5
const MAX_REPORTS = 10_000
/** Of a path that is not served, which may be as long as a request; longer ones are told in part. */
const MAX_PATH = 512
/** Of a boot ISO, between two reports. */
const MEDIA_BYTES = 4 * 1024 * 1024

export class FileProcess {
  private readonly channel: ParentChannel
  private readonly reports: Reports
  private readonly asked = new Map<number, (answer: FileAnswer) => void>()
  private mostAsked = 0
  private ids = 0

  constructor(channel: ParentChannel, clock: Pick<Clock, 'after'>) {
    this.channel = channel
    this.reports = new Reports({
      limit: MAX_REPORTS,
      send: (reports) => this.tell({ t: 'reports', reports }),
      soon: (done) => void clock.after(GATHER_MS, done),
    })
  }

  start(): void {
    this.channel.onMessage((message, socket) => this.take(message as ToFiles, socket))
    void this.tell({ t: 'ready' })
  }

  private tell(message: FromFiles): Promise<void> {
    return this.channel.send(message)
  }

  private take(message: ToFiles, socket: Server | undefined): void {
    if (message.t === 'alive?') return void this.tell({ t: 'alive' }).catch(() => undefined)
    if (message.t === 'answer') {
      this.asked.get(message.id)?.(message.answer)
      return void this.asked.delete(message.id)
    }
    if (socket) void this.serve(message.setup, socket)
  }

  private async serve({ files, ...limits }: ServeSetup, socket: Server): Promise<void> {
    const onRefused = (which: 'all' | 'perAddress', address: string) =>
      void this.reports.push({ kind: 'limit', which, address })
    this.mostAsked = limits.all * MAX_PIPELINED
    await listen(bootHttp(this.filesOf(files), { ...limits, onRefused }), socket)
    await this.tell({ t: 'serving' })
  }

  private filesOf(files: ServeSetup['files']): BootFiles {
    const { reports } = this
    return {
      script: ({ mac, loader }, ip) => this.text({ kind: 'script', mac, loader, ip }),
      autoexec: (ip) => this.text({ kind: 'autoexec', ip }),
      grubStart: (ip) => this.text({ kind: 'grub', ip }),
      file: (path) => servedFile(path, files),
      media: this.media,
      fetched: (path, ip) => void reports.push({ kind: 'fetched', path, ip }),
      said: (what, ip) => void reports.push({ kind: 'said', what, ip }),
      refused: (path, ip, why) => void reports.push({ kind: 'refused', path: path.slice(0, MAX_PATH), ip, why }),
      sending: (path, ip) => {
        const id = this.nextId()
        const isTold = reports.push({ kind: 'sending', id, path, ip })
        return (end) => void (isTold && reports.push({ kind: 'sent', id, end }))
      },
      answered: (status, whole) => reports.answered(status, whole),
      broke: (ip, error) =>
        void reports.push({ kind: 'broke', ip, why: error instanceof Error ? error.message : String(error) }),
    }
  }

  private nextId(): number {
    this.ids += 1
    return this.ids
  }

  /** Waits for as long as its connection may. What a connection that ended had asked is still answered; as many as all
   *  connections may ask wait, and no more. */
  private ask(ask: FileAsk): { id: number; answer: Promise<FileAnswer> } {
    if (this.asked.size >= this.mostAsked) throw new Error('too many requests wait for the boot services')
    const id = this.nextId()
    const answer = new Promise<FileAnswer>((resolve) => this.asked.set(id, resolve))
    this.reports.push({ kind: 'ask', id, ask })
    return { id, answer }
  }

  private async text(ask: FileAsk): Promise<string | undefined> {
    const answer = await this.ask(ask).answer
    if (answer.kind === 'fault') throw new Error(answer.why)
    return answer.kind === 'text' ? answer.text : undefined
  }

  private readonly media: ServedMedia = {
    begin: async (name) => {
      const { id, answer: asked } = this.ask({ kind: 'media', name })
      const answer = await asked
      if (answer.kind === 'busy') throw new Fault('bmc.busy', 'too many requests for one boot image at once')
      if (answer.kind === 'fault') throw new Fault('bmc.media', answer.why)
      if (answer.kind !== 'medium') return undefined
      const { offset, region, ...rest } = answer.medium
      let bytes = 0
      const report = (isOver: boolean) => {
        this.reports.push({ kind: 'media', id, bytes, isOver })
        bytes = 0
      }
      return {
        medium: { ...rest, region: { offset, bytes: Buffer.from(region, 'base64') } },
        sent: (more) => {
          bytes += more
          if (bytes >= MEDIA_BYTES) report(false)
        },
        end: () => report(true),
      }
    },
  }
}
