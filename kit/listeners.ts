/** Listeners of something that happens: parts that are made later than what they listen to add themselves. */

export class Listeners<T> {
  private readonly all = new Set<(value: T) => void>()

  add(listener: (value: T) => void): void {
    this.all.add(listener)
  }

  readonly emit = (value: T): void => {
    for (const listener of this.all) listener(value)
  }
}
