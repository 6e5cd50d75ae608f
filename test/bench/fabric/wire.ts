/** Between the bench and its processes: a JSON text a line, over their standard input and output. */
import { createInterface } from 'node:readline'

/** What a node is to do. */
export interface Begin {
  readonly run: number
  readonly isSwarm: boolean
}

/** How that went. `seconds`: until the disk held all of the image, proven by reading it back. */
export interface Ended {
  readonly run: number
  readonly seconds: number
  readonly fromNeighbours: number
  readonly toNeighbours: number
  readonly error?: string
}

export interface NodeSetup {
  readonly number: number
  readonly ip: string
  readonly dir: string
  readonly indexFile: string
  readonly dataUrl: string
  readonly trackerUrl: string
  readonly orderId: string
  readonly cardBytesPerSecond: number
}

export const say = (message: unknown): void => void process.stdout.write(`${JSON.stringify(message)}\n`)

export function onLine<T>(input: NodeJS.ReadableStream, take: (message: T) => void): void {
  createInterface({ input }).on('line', (line) => take(JSON.parse(line) as T))
}
