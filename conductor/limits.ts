/** Limits for everything that a client, a server or a stranger can make grow: one schema with defaults, part of the
 *  configuration as `limits`. */
import * as z from 'zod'

const KIB = 1024
const MIB = 1024 * KIB

const count = (byDefault: number, describe: string) =>
  z.number().int().min(1).max(1_000_000).default(byDefault).describe(describe)
const sizeBytes = (byDefault: number, describe: string) =>
  z
    .number()
    .int()
    .min(1)
    .max(1024 ** 5)
    .default(byDefault)
    .describe(describe)
const seconds = (byDefault: number, describe: string) =>
  z.number().min(0.1).max(86_400).default(byDefault).describe(describe)

export const Limits = z.strictObject({
  api: z
    .strictObject({
      connections: count(2_000, 'Open connections of one API listener.'),
      connectionsPerAddress: count(
        256,
        'Open connections of one API listener from one address; the unix socket has no such limit.',
      ),
      headersBytes: sizeBytes(16 * KIB, 'Size of the headers of a request.'),
      requestSeconds: seconds(60, 'Time for a whole request to arrive.'),
      idleSeconds: seconds(60, 'Time that a connection may be idle between two requests.'),
      bodyBytes: sizeBytes(1 * MIB, 'Size of a request body, before and after it is inflated.'),
      configDriveBodyBytes: sizeBytes(96 * MIB, 'Size of the body of a request that may carry a config drive.'),
      ramdiskBodyBytes: sizeBytes(
        1 * MIB,
        'Size of the body of a call by a ramdisk of another make (heartbeat, inspection); it is never inflated.',
      ),
      jsonDepth: count(25, 'Nesting of a JSON document.'),
      rolloutsKept: count(20, 'Roll-outs of rack files that have ended and are kept; as many may be under way.'),
      hookBodyBytes: sizeBytes(256 * KIB, 'Size of the body of a request to a hook; it is never inflated.'),
      recordBytes: sizeBytes(1 * MIB, 'Size of the stored record of a node, or of any other object.'),
      configDriveBytes: z
        .number()
        .int()
        .min(1)
        .max(64 * MIB)
        .default(64 * MIB)
        .describe('Size of a config drive, unpacked; also of what is fetched for one.'),
      configDriveDownloads: count(4, 'Config drives that are fetched at the same time; the others wait.'),
      configDriveSeconds: seconds(30, 'Time for a config drive to be fetched, with its waiting for a turn.'),
      eventStreams: count(500, 'Event streams in all.'),
      eventStreamsPerUser: count(20, 'Event streams of one user, and of one read-only link.'),
      consoles: count(200, 'Open consoles in all.'),
      consoleBufferBytes: sizeBytes(
        256 * KIB,
        'Bytes that wait for a slow console or its slow reader before the faster side is paused.',
      ),
      failedLoginsPerMinute: count(
        10,
        'Failed logins of one user from one address in a minute; ten times as many from one address in all.',
      ),
      passwordChecks: count(2, 'Passwords that are checked at the same time, each in a thread of its own.'),
      passwordQueue: count(256, 'Passwords that wait to be checked; more are answered with 429.'),
      sessionsPerUser: count(
        20,
        'Sessions of browsers of one user; beyond it, the one that was used least recently ends.',
      ),
      linksPerUser: count(20, 'Read-only links to the web console of one user.'),
      sessionSeconds: seconds(12 * 3600, 'Time after which a session of a browser ends.'),
      sessionIdleSeconds: seconds(1800, 'Time after which a session of a browser ends that is not used.'),
    })
    .prefault({})
    .describe('Of the API.'),
  agents: z
    .strictObject({
      connections: count(4_000, 'Open connections of the port that agents call.'),
      connectionsPerAddress: count(16, 'Open connections of that port from one address.'),
      streams: count(10, 'Streams at once in one HTTP/2 connection.'),
      sessionBodyBytes: sizeBytes(8 * KIB, 'Size of the request that trades a boot token for a session.'),
      reportBodyBytes: sizeBytes(1 * MIB, 'Size of a report.'),
      tpmBodyBytes: sizeBytes(1 * MIB, 'Size of the proof of a boot: quote and event log, in base64.'),
      tpmLogEvents: count(4_096, 'Events in the event log of a server.'),
      tpmSeconds: seconds(
        180,
        'Time from the first call of an agent to the proof of its boot, where driver_info/tpm is require; slow TPMs take half a minute to make their keys.',
      ),
      swarmMembers: count(
        20_000,
        'Nodes that serve pieces of images to each other at the same time; more fetch from the image server alone.',
      ),
      portsPerReport: count(64, 'Ports that one inventory may make.'),
      bodySeconds: seconds(10, 'Time for a request body to arrive.'),
      idleSeconds: seconds(90, 'Time that a connection may be idle.'),
    })
    .prefault({})
    .describe('Of the port that agents call.'),
  inspection: z
    .strictObject({
      calls: count(20, 'Calls that inspection rules make in one inspection (api-call).'),
      callSeconds: seconds(60, 'Time for all of these calls, with their retries.'),
    })
    .prefault({})
    .describe('Inspection rules.'),
  boot: z
    .strictObject({
      httpConnections: count(2_000, 'Open connections of the boot HTTP server.'),
      httpConnectionsPerAddress: count(16, 'Open connections of the boot HTTP server from one address.'),
      httpIdleSeconds: seconds(30, 'Time that a download may make no progress.'),
      httpSendMib: count(
        64,
        'Memory in MiB for the large parts of files that are being sent; transfers that find no room in it send in small parts.',
      ),
      mediaRequests: count(8, 'Requests for one boot ISO that are answered at once.'),
      tftpTransfers: count(2_000, 'TFTP transfers at once.'),
      tftpTransfersPerAddress: count(8, 'TFTP transfers at once to one address.'),
      tftpTimeoutSeconds: seconds(5, 'The longest time-out that a TFTP client may ask for.'),
      ramdiskTransfers: count(
        256,
        'Servers that load the deploy ramdisk at once; the others wait for a place in their loader, which shows it.',
      ),
      declinesPerMac: count(3, 'Addresses that one MAC may decline within ten minutes.'),
      eventsPerSecond: count(
        20,
        'Events of one kind and source that are kept in a second, and in each minute that a flood lasts; the ' +
          'others are counted and told in one line.',
      ),
      queuedEvents: count(10_000, 'Events that wait for the conductor; more are counted and dropped.'),
    })
    .prefault({})
    .describe('Of DHCP, TFTP and HTTP for nodes that boot.'),
  events: z
    .strictObject({
      batch: count(500, 'Events that are written or read in one transaction.'),
      queued: count(10_000, 'Events from the wire that wait to be written; more are counted and dropped.'),
      durations: count(
        200,
        'Times of one state that are kept for a model, for each of its firmware versions and for each image, to ' +
          'tell what is usual; older ones go with each sixteenth that is added.',
      ),
      durationsInAll: count(200_000, 'Such times in all; the oldest are removed beyond it, once an hour.'),
    })
    .prefault({})
    .describe('Of the event journal.'),
  bmc: z
    .strictObject({
      pollSessions: count(
        256,
        'IPMI sessions that are open at the same time to read power; as many again for BMCs that did not answer the last time.',
      ),
      pollers: count(
        16,
        'Processes that read the power of BMCs at the same time, each with one set of credentials; a quarter as ' +
          'many again read BMCs that do not answer.',
      ),
      pollsPerRound: count(2_000, 'BMCs that one of these processes asks at once.'),
      keptConnections: count(
        3_000,
        'Redfish BMCs whose connection is kept between two polls, at about 64 KiB each; others get a connection ' +
          'for each poll.',
      ),
      eventStreams: count(
        2_000,
        'Event streams of Redfish BMCs that are read at once, at about 64 KiB each; other nodes are watched by ' +
          'the poll alone, or by a subscription where bmc.events.push is configured.',
      ),
      eventConnections: count(512, 'Open connections of the listener of bmc.events.push; 16 from one address.'),
      eventBytes: sizeBytes(64 * KIB, 'Size of an event of a BMC; a stream with a bigger one is closed.'),
      eventsPerSecond: count(20, 'Events of one BMC that are taken in a second; the others wait at the BMC.'),
      bootConsoles: count(
        16,
        'Serial consoles that are read at once where bmc.readBootConsoles is on, each by a process; the consoles of ' +
          'other servers are not read.',
      ),
      sensors: count(64, 'Sensors of one server that become metrics; the others are left out.'),
      sensorSeries: count(20_000, 'Sensors of all servers that become metrics.'),
    })
    .prefault({})
    .describe('Of reading the power of BMCs.'),
  hardware: z
    .strictObject({
      biosSettings: count(2_000, 'BIOS settings of one server that are kept.'),
      firmwareConnections: count(64, 'Open connections of the server that BMCs fetch firmware from.'),
    })
    .prefault({})
    .describe('Of what is read of servers through their BMCs.'),
  hooks: z
    .strictObject({
      postsPerMinute: count(
        60,
        'Requests to one hook in a minute; more are answered with 503, and Alertmanager sends them again.',
      ),
      alertsPerPost: count(100, 'Alerts of one request.'),
      kept: count(1_000, 'Alerts whose node or host is held by a hook; beyond it nothing further is held.'),
    })
    .prefault({})
    .describe('Of hooks that alerts are posted to.'),
  masakari: z
    .strictObject({
      segments: count(100, 'Segments.'),
      notifications: count(
        1_000,
        'Notifications; beyond it the oldest that is settled goes, and none is taken while none is settled.',
      ),
      notificationDays: count(30, 'Days that notifications are kept.'),
    })
    .prefault({})
    .describe('Of Masakari’s API.'),
  images: z
    .strictObject({
      virtualSizeBytes: sizeBytes(2 * 1024 ** 4, 'Size of an image once it is unpacked.'),
      bootFileBytes: sizeBytes(16 * 1024 * MIB, 'Size of a kernel, ramdisk or ISO image that servers boot as it is.'),
      unusedBootFileBytes: sizeBytes(
        32 * 1024 * MIB,
        'Size of all kernels, ramdisks and ISO images in the store that no node boots; the oldest are removed ' +
          'beyond it.',
      ),
      reserveBytes: sizeBytes(1024 * MIB, 'Space that imports leave free on the disk of the image store.'),
      imports: count(4, 'Imports at the same time; the others wait.'),
      importSeconds: seconds(4 * 3600, 'Time for one import.'),
      leastBytesPerSecond: sizeBytes(16 * KIB, 'Least rate of a download, over a minute.'),
    })
    .prefault({})
    .describe('Of the image store.'),
})

export type Limits = z.infer<typeof Limits>
