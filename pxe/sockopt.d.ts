/** sockopt 2.0.1 ships no types. */
declare module 'sockopt' {
  import type { Socket } from 'node:dgram'
  export function setsockopt(socket: Socket, level: number, name: number, value: number): void
}
