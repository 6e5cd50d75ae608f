/** Which of several loaders a client gets: the one that worked on its card, and the next one after a boot that fell
 *  silent. A loader is silent when it was fetched and the firmware asks again before the loader took an address or a
 *  script. */

/** How a loader did on one card model. */
export interface LoaderRecord {
  readonly card: string
  readonly file: string
  /** True when it brought a boot to its script once. */
  readonly worked: boolean
  /** Boots that fell silent since it worked last. */
  readonly silent: number
}

/** Asked of the owner of this room: what survives a restart. */
export interface LoaderStore {
  load(): readonly LoaderRecord[]
  save(record: LoaderRecord): void
  remove(record: Pick<LoaderRecord, 'card' | 'file'>): void
}

export interface LoaderPick {
  readonly file: string
  /** Loaders that fell silent, when this is another one for that reason just now. */
  readonly insteadOf: readonly string[]
}

interface Trial {
  readonly card: string
  readonly file: string
  readonly fetchedAtMs?: number
  /** The loader took an address: it runs and drives the card, whatever ended its boot then. */
  readonly heard?: boolean
  /** Loaders that fell silent, since one worked last. */
  readonly silent: readonly string[]
}

const NONE: readonly string[] = []
/** A firmware that asks again so soon repeats its request. */
const REPEAT_MS = 5_000
/** One boot that ends early proves nothing: somebody may have reset the server. */
const SILENT_BOOTS = 2
const MAX_RECORDS = 4096

export class LoaderPaths {
  private readonly records = new Map<string, LoaderRecord>()
  private readonly trials = new Map<string, Trial>()
  /** Files in the order of what is known of a card, until something else is known: DHCP asks for every packet. */
  private readonly orders = new Map<string, WeakMap<readonly string[], readonly string[]>>()
  private readonly store: LoaderStore

  constructor(store: LoaderStore) {
    this.store = store
    for (const record of store.load()) this.keep(record)
  }

  /** `files`: those that are there, in the order of the firmware table. `asksAnew`: it begins a boot (DISCOVER). */
  pick(
    mac: string,
    wanted: { card: string; files: readonly string[]; asksAnew: boolean; nowMs: number },
  ): LoaderPick | undefined {
    const { card } = wanted
    const files = this.ranked(card, wanted.files)
    const before = this.trials.get(mac)
    const ended = before && hasEnded(before, wanted) ? before : undefined
    const fellSilent = ended?.heard ? undefined : ended
    if (fellSilent) this.note(fellSilent.card, fellSilent.file, false)
    if (before && !fellSilent && before.card === card && files.includes(before.file)) {
      if (ended) this.trials.set(mac, { card, file: before.file, silent: before.silent })
      return { file: before.file, insteadOf: NONE }
    }

    const silent = [...(before?.silent ?? []), ...(fellSilent ? [fellSilent.file] : [])]
    const untried = files.find((file) => !silent.includes(file))
    const file = untried ?? files[0]
    if (file === undefined) return undefined
    this.trials.set(mac, { card, file, silent: untried === undefined ? [] : silent })
    return { file, insteadOf: fellSilent && fellSilent.file !== file ? silent : [] }
  }

  /** A client fetched a whole loader. */
  fetched(mac: string, file: string, nowMs: number): void {
    const trial = this.trials.get(mac)
    // Firmware fetches a loader twice at times; the first time counts.
    if (trial?.file === file && trial.fetchedAtMs === undefined) this.trials.set(mac, { ...trial, fetchedAtMs: nowMs })
  }

  /** The loader of a client took an address. */
  heard(mac: string): void {
    const trial = this.trials.get(mac)
    if (trial?.fetchedAtMs !== undefined && !trial.heard) this.trials.set(mac, { ...trial, heard: true })
  }

  /** A client came as far as its script. Answers the loader that did it, and those that fell silent before, when a
   *  loader was fetched. */
  worked(mac: string): { card: string; file: string; silent: readonly string[] } | undefined {
    const trial = this.trials.get(mac)
    if (trial?.fetchedAtMs === undefined) return undefined
    this.trials.delete(mac)
    this.note(trial.card, trial.file, true)
    return { card: trial.card, file: trial.file, silent: trial.silent }
  }

  /** Every client whose boot is not at its script yet. */
  macs(): IterableIterator<string> {
    return this.trials.keys()
  }

  forget(mac: string): void {
    this.trials.delete(mac)
  }

  /** Those that worked come first, those that fall silent again and again last; else as in the table. */
  private ranked(card: string, files: readonly string[]): readonly string[] {
    const known = this.orders.get(card) ?? new WeakMap<readonly string[], readonly string[]>()
    const before = known.get(files)
    if (before) return before
    const rank = (file: string) => {
      const record = this.records.get(keyOf(card, file))
      if (record && record.silent >= SILENT_BOOTS) return 2
      return record?.worked ? 0 : 1
    }
    const order = files.toSorted((a, b) => rank(a) - rank(b))
    if (this.orders.size >= MAX_RECORDS) this.orders.clear()
    this.orders.set(card, known.set(files, order))
    return order
  }

  private note(card: string, file: string, worked: boolean): void {
    const before = this.records.get(keyOf(card, file))
    const record = worked
      ? { card, file, worked: true, silent: 0 }
      : { card, file, worked: before?.worked ?? false, silent: Math.min((before?.silent ?? 0) + 1, SILENT_BOOTS) }
    if (before?.worked === record.worked && before.silent === record.silent) return
    this.keep(record)
    this.store.save(record)
  }

  private keep(record: LoaderRecord): void {
    this.orders.clear()
    const key = keyOf(record.card, record.file)
    this.records.delete(key)
    this.records.set(key, record)
    const [oldest] = this.records.values()
    if (this.records.size <= MAX_RECORDS || oldest === undefined) return
    this.records.delete(keyOf(oldest.card, oldest.file))
    this.store.remove(oldest)
  }
}

/** Firmware that asks under another architecture went on to its next boot option, however soon. */
const hasEnded = (
  { card, fetchedAtMs }: Trial,
  now: { readonly card: string; readonly asksAnew: boolean; readonly nowMs: number },
): boolean => fetchedAtMs !== undefined && now.asksAnew && (card !== now.card || now.nowMs - fetchedAtMs >= REPEAT_MS)

const keyOf = (card: string, file: string) => `${card} ${file}`
