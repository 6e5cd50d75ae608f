/** What a process that sends files asks and reports, carried out on the boot services' own files; and what it leaves
 *  open when it ends. */
import { isFault, never } from '../../../kit/fault.ts'
import type { BootFiles, BootHttpLimits, SendEnd } from '../http.ts'
import type { FileAnswer, FileAsk, FileReport } from './wire.ts'

export interface ServingParts {
  readonly files: BootFiles
  readonly onRefused: BootHttpLimits['onRefused']
  readonly answer: (id: number, answer: FileAnswer) => void
  readonly onDropped: () => void
}

interface OpenMedium {
  readonly sent: (bytes: number) => void
  readonly end: () => void
}

const LOST: SendEnd = { whole: false, sentBytes: 0, totalBytes: 0, stalled: false }

export class ServingSession {
  private readonly parts: ServingParts
  private readonly sending = new Map<number, (end: SendEnd) => void>()
  private readonly media = new Map<number, OpenMedium>()
  private ended = false

  constructor(parts: ServingParts) {
    this.parts = parts
  }

  /** Nothing begins any more once it ended: nobody would end it. */
  take(report: FileReport): void {
    const { files } = this.parts
    if (this.ended && (report.kind === 'ask' || report.kind === 'sending')) return
    switch (report.kind) {
      case 'ask':
        return void this.answer(report.id, report.ask)
      case 'answered':
        for (let i = 0; i < report.count; i += 1) files.answered(report.status, report.whole)
        return
      case 'fetched':
        return files.fetched(report.path, report.ip)
      case 'refused':
        return files.refused(report.path, report.ip, report.why)
      case 'said':
        return files.said(report.what, report.ip)
      case 'broke':
        return files.broke(report.ip, report.why)
      case 'limit':
        return this.parts.onRefused(report.which, report.address)
      case 'sending':
        return void this.sending.set(report.id, files.sending(report.path, report.ip))
      case 'sent':
        this.sending.get(report.id)?.(report.end)
        return void this.sending.delete(report.id)
      case 'media':
        return this.sentMedia(report)
      case 'dropped':
        for (let i = 0; i < report.count; i += 1) this.parts.onDropped()
        return
      default:
        return never(report)
    }
  }

  /** Its connections ended with it. */
  end(): void {
    this.ended = true
    for (const over of this.sending.values()) over(LOST)
    for (const medium of this.media.values()) medium.end()
    this.sending.clear()
    this.media.clear()
  }

  private sentMedia({ id, bytes, isOver }: FileReport & { kind: 'media' }): void {
    const medium = this.media.get(id)
    if (bytes > 0) medium?.sent(bytes)
    if (!isOver) return
    medium?.end()
    this.media.delete(id)
  }

  private async answer(id: number, ask: FileAsk): Promise<void> {
    const answer = await this.answerOf(id, ask).catch((error: unknown): FileAnswer => {
      if (isFault(error, 'bmc.busy')) return { kind: 'busy' }
      return { kind: 'fault', why: isFault(error) ? error.detail : (error as Error).message }
    })
    this.parts.answer(id, answer)
  }

  private async answerOf(id: number, ask: FileAsk): Promise<FileAnswer> {
    const { files } = this.parts
    if (ask.kind === 'media') return this.medium(id, ask.name)
    const text = await (ask.kind === 'script'
      ? files.script({ mac: ask.mac, loader: ask.loader }, ask.ip)
      : ask.kind === 'autoexec'
        ? files.autoexec(ask.ip)
        : files.grubStart(ask.ip))
    return text === undefined ? { kind: 'refused' } : { kind: 'text', text: text.toString() }
  }

  private async medium(id: number, name: string): Promise<FileAnswer> {
    const found = await this.parts.files.media?.begin(name)
    if (!found) return { kind: 'refused' }
    if (this.ended) found.end()
    else this.media.set(id, found)
    const { region, ...rest } = found.medium
    return { kind: 'medium', medium: { ...rest, offset: region.offset, region: region.bytes.toString('base64') } }
  }
}
