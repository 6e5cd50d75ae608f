/** Prepared statements by their text: the ones used last are kept, and never more than a bounded number, whatever is
 *  asked for. */
import type Database from 'better-sqlite3'

export type Value = string | number | null | Buffer

export class Statements {
  private readonly db: Database.Database
  private readonly most: number
  private readonly byText = new Map<string, Database.Statement>()

  constructor(db: Database.Database, most: number) {
    this.db = db
    this.most = most
  }

  get<Result>(text: string): Database.Statement<Value[], Result> {
    const known = this.byText.get(text)
    const statement = known ?? this.db.prepare(text)
    // The Map keeps the order of insertion: what is used goes to the end, and the first one goes when there are too
    // many.
    if (known) this.byText.delete(text)
    else if (this.byText.size >= this.most) this.byText.delete(this.byText.keys().next().value as string)
    this.byText.set(text, statement)
    return statement as Database.Statement<Value[], Result>
  }

  get size(): number {
    return this.byText.size
  }
}

export type Sql = Statements['get']
