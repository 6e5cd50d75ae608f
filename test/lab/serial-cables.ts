/** The serial cables of a rack, as a program: `serial-cables.js FILE`. Each joins a guest and its BMC.
 *
 *  ipmi_sim dials again only every 10 s after a guest has gone, and firmware has said all by then. The cable is always
 *  there: the BMC stays connected while guests come and go. FILE is made when every port is open. */
import { writeFile } from 'node:fs/promises'
import { Cable } from './serial-cable.ts'
import { bmcPort, guestPort, MAX_CABLES } from './serial-port.ts'

const [file] = process.argv.slice(2)
if (!file) throw new Error('serial-cables.js FILE')
await Promise.all(Array.from({ length: MAX_CABLES }, (_, i) => new Cable().open([bmcPort(i + 1), guestPort(i + 1)])))
await writeFile(file, `${process.pid}\n`)
