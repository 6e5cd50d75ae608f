/** Runs the tasks of one key one after the other, in the order in which they came; tasks of different keys run side by
 *  side. */
export class Turns {
  private readonly last = new Map<string, Promise<unknown>>()

  take<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.last.get(key) ?? Promise.resolve()
    const turn = before.catch(() => undefined).then(task)
    this.last.set(key, turn)
    const clear = () => {
      if (this.last.get(key) === turn) this.last.delete(key)
    }
    turn.then(clear, clear)
    return turn
  }
}
