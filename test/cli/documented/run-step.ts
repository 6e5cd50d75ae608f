/** One command of the documents, and what it takes to run it. */

export interface Run {
  readonly command: string
  /** Words that mean something of the reader's -> what it is in the test. */
  readonly put?: Readonly<Record<string, string>>
  /** Shell, before it. */
  readonly before?: string
  /** Shell around it; {} is the command. */
  readonly within?: string
  /** 0, unless another one is meant. */
  readonly status?: number
  /** Goes on until somebody ends it, which is done when it printed what it should. */
  readonly isEndless?: true
  /** Of what it prints. */
  readonly prints?: RegExp
}
