/** All floods, in the order in which the soak runs them. */
import { openStreams, typedConsoles } from './doors.ts'
import type { Flood } from './flood.ts'
import {
  bigRecords,
  crossSite,
  eventReplays,
  failedLogins,
  forgedSecrets,
  halfRequests,
  inflatedBodies,
  respelledLogins,
  statementShapes,
} from './http.ts'
import { bootScripts, dhcpKnown, dhcpStrangers, tftpHeld, tftpRefused, unreadDownloads } from './wire.ts'

export const FLOODS: readonly Flood[] = [
  inflatedBodies,
  halfRequests,
  failedLogins,
  respelledLogins,
  openStreams,
  eventReplays,
  statementShapes,
  bigRecords,
  forgedSecrets,
  crossSite,
  typedConsoles,
  dhcpStrangers,
  dhcpKnown,
  tftpRefused,
  tftpHeld,
  bootScripts,
  unreadDownloads,
]
