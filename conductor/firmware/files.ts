/** Firmware files: from an allowed URL, checked, kept in the image store, and offered to BMCs. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { BootFiles, bootFilePath } from '../../images/boot-files.ts'
import { checkFile, parseChecksum } from '../../images/checksum.ts'
import type { ImportTools } from '../../images/import.ts'
import { Fault } from '../../kit/fault.ts'
import type { FirmwareFile } from '../bmc/parts/updates.ts'
import { allowedUrl, type AllowList } from '../outbound/allow-list.ts'
import type { FirmwareServer } from './server.ts'

export interface FirmwareRequest {
  readonly url: string
  readonly checksum?: string | undefined
}

export interface FirmwareFilesParts {
  readonly list: AllowList
  readonly unchecked: boolean
  readonly files: BootFiles
  readonly storeRoot: string
  readonly tools: Pick<ImportTools, 'budget'>
  readonly server: Pick<FirmwareServer, 'offer'>
}

export class FirmwareFiles {
  private readonly parts: FirmwareFilesParts

  constructor(parts: FirmwareFilesParts) {
    this.parts = parts
  }

  /** Throws `input.invalid` or `input.missing` for a URL that is not allowed, or a checksum that is wrong or
   *  missing. */
  check({ url, checksum }: FirmwareRequest): URL {
    const allowed = allowedUrl(url, this.parts.list)
    if (checksum !== undefined) parseChecksum(checksum)
    else if (!this.parts.unchecked)
      throw new Fault('input.missing', `settings: the firmware at ${allowed.host} has no checksum (sha256:HEX)`)
    return allowed
  }

  /** The id of the file in the store, once it is there and is the one that was asked for. */
  async fetch(request: FirmwareRequest, signal: AbortSignal): Promise<{ readonly id: string; readonly name: string }> {
    const { files, tools, list } = this.parts
    const url = this.check(request)
    const checksum = request.checksum === undefined ? undefined : parseChecksum(request.checksum)
    const guard = { allowedHosts: list.prefixes.map((prefix) => new URL(prefix).hostname) }
    const found = checksum && (await files.find(checksum))
    const id =
      found ?? (await files.import({ source: url.href, checksum }, { ...tools, guard, noRedirects: true, signal }))
    const name = decodeURIComponent(url.pathname.split('/').at(-1) ?? '').replaceAll(/[^A-Za-z0-9._-]/g, '_')
    return { id, name: name.slice(0, 100) || 'firmware.bin' }
  }

  /** The same file for a BMC that is sent it: whole and unchanged since it was checked. Throws `image.checksum`
   *  where it is not. */
  async read({ id, name }: { readonly id: string; readonly name: string }, signal: AbortSignal): Promise<FirmwareFile> {
    const path = bootFilePath(this.parts.storeRoot, id)
    const checksum = parseChecksum(id.replace('-', ':'))
    await checkFile(path, { checksum, what: `the firmware file ${name}`, signal })
    return { name, sizeBytes: (await stat(path)).size, open: () => createReadStream(path) }
  }

  /** The URL that a BMC fetches it from: it holds nothing of the source, its user or its query. */
  offer = ({ id, name }: { readonly id: string; readonly name: string }): string =>
    this.parts.server.offer(id, bootFilePath(this.parts.storeRoot, id), name)
}
