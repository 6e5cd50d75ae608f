/** The TCP ports of the serial cables, in the namespace of a rack: where the BMC of a server dials, and where its guest
 *  does. */
import type { Server } from './server.ts'

/** Servers of a rack. */
export const MAX_CABLES = 64

export const bmcPort = (number: number): number => 9600 + number
export const guestPort = (number: number): number => 9700 + number

/** From 1 on. */
export const cableOf = ({ bmcIp }: Pick<Server, 'bmcIp'>): number => Number(bmcIp.split('.')[3])
