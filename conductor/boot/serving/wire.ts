/** Between the boot services and the process that sends their files: messages over the channel of a child process. The
 *  process knows files alone; for whatever depends on a client it asks. */
import type { AgentSaid } from '../../api/agent-said.ts'
import type { ScriptLoader } from '../boot-target.ts'
import type { SendEnd } from '../http.ts'
import type { ServedFiles } from '../render.ts'

/** What it needs to serve, beside the listening socket that comes with it. */
export interface ServeSetup {
  readonly files: ServedFiles
  readonly all: number
  readonly perAddress: number
  readonly idleMs: number
  readonly sendBytes: number
}

export type FileAsk =
  | { readonly kind: 'script'; readonly mac: string; readonly loader: ScriptLoader; readonly ip: string }
  | { readonly kind: 'autoexec'; readonly ip: string }
  | { readonly kind: 'grub'; readonly ip: string }
  | { readonly kind: 'media'; readonly name: string }

/** A boot ISO: the template, and what stands in it from `offset` on, as base64. */
export interface MediumAnswer {
  readonly nodeUuid: string
  readonly path: string
  readonly sizeBytes: number
  readonly tag: string
  readonly offset: number
  readonly region: string
}

export type FileAnswer =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'medium'; readonly medium: MediumAnswer }
  | { readonly kind: 'refused' }
  | { readonly kind: 'busy' }
  | { readonly kind: 'fault'; readonly why: string }

/** What happened, in the order in which it did. */
export type FileReport =
  | { readonly kind: 'ask'; readonly id: number; readonly ask: FileAsk }
  /** `count` requests that ended so. */
  | { readonly kind: 'answered'; readonly status: number; readonly whole: boolean; readonly count: number }
  | { readonly kind: 'fetched'; readonly path: string; readonly ip: string }
  | { readonly kind: 'refused'; readonly path: string; readonly ip: string; readonly why: string }
  | { readonly kind: 'said'; readonly what: AgentSaid; readonly ip: string }
  | { readonly kind: 'broke'; readonly ip: string; readonly why: string }
  | { readonly kind: 'limit'; readonly which: 'all' | 'perAddress'; readonly address: string }
  | { readonly kind: 'sending'; readonly id: number; readonly path: string; readonly ip: string }
  | { readonly kind: 'sent'; readonly id: number; readonly end: SendEnd }
  /** Bytes of the boot ISO that was asked for by `id`. */
  | { readonly kind: 'media'; readonly id: number; readonly bytes: number; readonly isOver: boolean }
  /** Reports that there was no room for. */
  | { readonly kind: 'dropped'; readonly count: number }

export type FromFiles =
  | { readonly t: 'ready' }
  | { readonly t: 'serving' }
  | { readonly t: 'alive' }
  | { readonly t: 'reports'; readonly reports: readonly FileReport[] }

export type ToFiles =
  | { readonly t: 'serve'; readonly setup: ServeSetup }
  | { readonly t: 'answer'; readonly id: number; readonly answer: FileAnswer }
  | { readonly t: 'alive?' }
