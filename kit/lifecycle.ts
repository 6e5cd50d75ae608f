/** Starting and stopping made boring: parts stop in the reverse order of their start, once, also after a half-failed
 *  start. */

export interface Part {
  readonly name: string
  stop(): Promise<void> | void
}

export class Lifecycle {
  private readonly parts: Part[] = []
  private stopping: Promise<void> | undefined

  /** Starts a part and remembers how to stop it; when it fails, everything started so far is stopped. */
  async add<T>(name: string, start: () => Promise<T> | T, stop: (part: T) => Promise<void> | void): Promise<T> {
    try {
      const part = await start()
      this.parts.push({ name, stop: () => stop(part) })
      return part
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** Safe to call more than once; every caller gets the same end. */
  stop(): Promise<void> {
    this.stopping ??= this.stopAll()
    return this.stopping
  }

  private async stopAll(): Promise<void> {
    const failures: unknown[] = []
    for (const part of this.parts.reverse()) {
      try {
        await part.stop()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'some parts did not stop cleanly')
  }
}
