/** Between the agent in the ramdisk and the conductor: JSON over one outgoing TLS connection (HTTP/2). Checked on both
 *  ends. */
import * as z from 'zod/mini'
import { KeyUpdates } from './agent-keys.ts'
import { VolumeIds, Volumes, VolumeWishes } from './agent-raid.ts'

const Text = (max: number) => z.string().check(z.maxLength(max))
const Count = z.int().check(z.nonnegative())

export const Disk = z.object({
  name: Text(64),
  sizeBytes: Count,
  rotational: z.boolean(),
  model: z.nullable(Text(256)),
  vendor: z.nullable(Text(256)),
  serial: z.nullable(Text(256)),
  wwn: z.nullable(Text(256)),
  hctl: z.nullable(Text(64)),
  byPath: z.nullable(Text(256)),
  transport: z.nullable(Text(32)),
  logicalSectorBytes: Count,
  physicalSectorBytes: z.optional(Count),
  readOnly: z.boolean(),
  /** The name of a software RAID volume; absent: a disk. */
  volumeName: z.optional(Text(64)),
})

/** Type and value, in hexadecimal, of a field of an LLDP announcement (IEEE 802.1AB). */
export const LldpField = z.tuple([
  z.int().check(z.nonnegative(), z.maximum(127)),
  z.string().check(z.regex(/^([0-9a-f]{2}){0,511}$/)),
])

export const Nic = z.object({
  name: Text(64),
  mac: z.string().check(z.regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/)),
  hasCarrier: z.boolean(),
  speedMbps: z.nullable(z.int()),
  driver: z.nullable(Text(64)),
  vendor: z.nullable(Text(32)),
  product: z.nullable(Text(32)),
  pciAddress: z.nullable(Text(64)),
  ipv4: z.nullable(Text(15)),
  ipv6: z.optional(z.nullable(Text(45))),
  /** The first announcement that came; absent: none did. */
  lldp: z.optional(z.array(LldpField).check(z.maxLength(256))),
})

/** Memory, cores with their threads, and cards, by NUMA node. */
export const Numa = z.object({
  ram: z.array(z.object({ node: Count, sizeKb: Count })).check(z.maxLength(1024)),
  cpus: z
    .array(z.object({ core: Count, node: Count, threads: z.array(Count).check(z.maxLength(64)) }))
    .check(z.maxLength(8192)),
  nics: z.array(z.object({ name: Text(64), node: Count })).check(z.maxLength(256)),
})

export const Inventory = z.object({
  cpu: z.object({
    count: Count,
    sockets: z.optional(Count),
    model: z.nullable(Text(256)),
    architecture: Text(32),
    frequencyMhz: z.nullable(z.number()),
    flags: z.array(Text(64)).check(z.maxLength(1024)),
  }),
  memoryBytes: Count,
  physicalMemoryMb: z.nullable(Count),
  disks: z.array(Disk).check(z.maxLength(1024)),
  nics: z.array(Nic).check(z.maxLength(256)),
  bootMode: z.enum(['uefi', 'bios']),
  bootMac: z.nullable(Text(17)),
  system: z.object({
    vendor: z.nullable(Text(256)),
    product: z.nullable(Text(256)),
    serial: z.nullable(Text(256)),
    uuid: z.nullable(Text(64)),
    firmwareVersion: z.nullable(Text(256)),
    firmwareVendor: z.optional(z.nullable(Text(256))),
    firmwareDate: z.optional(z.nullable(Text(64))),
  }),
  bmcAddress: z.nullable(Text(64)),
  bmcV6Address: z.optional(z.nullable(Text(64))),
  bmcMac: z.optional(z.nullable(Text(17))),
  numa: z.optional(z.nullable(Numa)),
})

export const Order = z.discriminatedUnion('kind', [
  z.object({
    id: Text(80),
    kind: z.literal('inspect'),
    lldpSeconds: z.optional(z.number()),
    /** Software RAID volumes that the conductor knows of this machine. */
    volumes: z.optional(VolumeIds),
  }),
  z.object({
    id: Text(80),
    kind: z.literal('clean'),
    skip: z.array(z.record(z.string(), z.unknown())),
    whole: z.boolean(),
    discard: z.optional(z.boolean()),
    /** Software RAID volumes that are made anew on the erased disks. */
    volumes: z.optional(VolumeWishes),
  }),
  z.object({
    id: Text(80),
    kind: z.literal('raid'),
    skip: z.array(z.record(z.string(), z.unknown())),
    /** Whether the software RAID that is there is removed first. */
    remove: z.boolean(),
    create: VolumeWishes,
  }),
  /** Keys of Secure Boot, for firmware in setup mode. */
  z.object({ id: Text(80), kind: z.literal('keys'), updates: KeyUpdates }),
  /** Into the image, whose kernel was loaded before. */
  z.object({ id: Text(80), kind: z.literal('jump') }),
  z.object({ id: Text(80), kind: z.literal('rescue'), passwordHash: Text(256) }),
  z.object({
    id: Text(80),
    kind: z.literal('deploy'),
    imageId: Text(64),
    dataUrl: Text(2048),
    /** Where the same bytes may be had nearer, the nearest first. */
    nearUrls: z.optional(z.array(Text(2048)).check(z.maxLength(8))),
    indexSha256: Text(64),
    rootDevice: z.nullable(z.record(z.string(), z.unknown())),
    configDrive: z.boolean(),
    /** The kernel of the image is loaded for a jump. */
    kexec: z.optional(z.boolean()),
    /** The image was made of a partition image: how its disk ends, and the kernel arguments of this node. */
    partition: z.optional(
      z.object({
        args: z.array(Text(1_500)).check(z.maxLength(1_500)),
        /** The image starts by BIOS as well. */
        bios: z.optional(z.boolean()),
        rootBytes: z.nullable(Count),
        swapBytes: Count,
      }),
    ),
    /** Nodes that write the same image serve pieces to each other. */
    swarm: z.optional(z.boolean()),
    /** False: pieces that the disk holds already are fetched and written all the same. */
    compare: z.optional(z.boolean()),
    volumes: z.optional(VolumeIds),
  }),
])

/** How a disk was erased, the strongest first. */
export const ERASED = {
  zeroed: 'every byte was written with zeros and read back',
  'secure-discarded': 'the disk was told to forget every block, copies included (secure discard)',
  'zeroed-by-disk': 'the disk zeroed every block itself; samples were read back',
  discarded: 'the disk was told to forget every block (discard); samples were read back as zeros',
  metadata: 'signatures of file systems, RAID and partitions were zeroed; the rest of the disk can still be read',
} as const
export const ErasedDisk = z.object({
  disk: Text(64),
  serial: z.nullable(Text(256)),
  sizeBytes: Count,
  how: z.enum(Object.keys(ERASED) as [keyof typeof ERASED, ...(keyof typeof ERASED)[]]),
})

export const Progress = z.object({
  phase: Text(64),
  doneBytes: Count,
  totalBytes: Count,
  /** Where the bytes come from, where there is a choice. */
  from: z.optional(Text(200)),
})

const Uuid = z.string().check(z.regex(/^[0-9a-f-]{36}$/))

/** What a deploy moved: pieces of the image that hold data, those of them that the disk held already, and the bytes of
 *  the others, as they are stored and as they are written. */
export const ImageMoved = z.object({
  pieces: Count,
  heldPieces: Count,
  fetchedBytes: Count,
  writtenBytes: Count,
  /** Of the fetched bytes those that other nodes sent, who sent most, and what this node sent to others; absent: there
   *  was no swarm. */
  shared: z.optional(
    z.object({
      fromNeighbours: Count,
      toNeighbours: Count,
      neighbours: z.array(z.object({ node: Uuid, bytes: Count })).check(z.maxLength(64)),
    }),
  ),
})

export const Report = z.object({
  orderId: Text(80),
  progress: z.optional(Progress),
  done: z.optional(
    z.object({
      inventory: z.optional(Inventory),
      rootDisk: z.optional(Disk),
      writtenBytes: z.optional(Count),
      moved: z.optional(ImageMoved),
      /** The disk was ended as a partition image asks for; absent: an older ramdisk knows nothing of them. */
      partitioned: z.optional(z.boolean()),
      erased: z.optional(z.array(ErasedDisk).check(z.maxLength(1024))),
      /** Software RAID volumes that were made. */
      volumes: z.optional(Volumes),
      /** The kernel of the image is loaded; else why not. */
      jump: z.optional(z.object({ ready: z.boolean(), why: z.optional(Text(2000)), code: z.optional(Text(64)) })),
      timings: z.optional(z.record(z.string(), z.number())),
    }),
  ),
  failed: z.optional(z.object({ code: Text(64), text: Text(4000) })),
})

/** The agent chooses its secret, so that it can ask again when the answer got lost: the same token with the same secret
 *  is the same trade. */
export const SessionRequest = z.object({
  /** Absent: the boot had no script, and is claimed by the card that has the address which this call comes from. */
  token: z.optional(Text(256)),
  claim: z.optional(z.string().check(z.regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/))),
  secret: z.string().check(z.regex(/^[A-Za-z0-9_-]{43}$/)),
  macs: z.array(Text(17)).check(z.maxLength(256)),
  bootMode: z.enum(['uefi', 'bios']),
  /** The clock of the server; absent: an older ramdisk. */
  clockMs: z.optional(z.number()),
})
export const SessionGrant = z.object({
  session: Text(128),
  nodeUuid: Text(64),
  nowMs: Count,
  /** The boot is to be proven by the TPM; absent: nobody asks for it. */
  tpm: z.optional(z.enum(['observe', 'require'])),
})
export const OrderAnswer = z.object({ order: z.nullable(Order) })

export type Disk = z.infer<typeof Disk>
export type Nic = z.infer<typeof Nic>
export type LldpField = z.infer<typeof LldpField>
export type Numa = z.infer<typeof Numa>
export type Inventory = z.infer<typeof Inventory>
export type Order = z.infer<typeof Order>
export type ErasedDisk = z.infer<typeof ErasedDisk>
export type Progress = z.infer<typeof Progress>
export type ImageMoved = z.infer<typeof ImageMoved>
export type Report = z.infer<typeof Report>
export type SessionRequest = z.infer<typeof SessionRequest>
export type SessionGrant = z.infer<typeof SessionGrant>

/** Longest time that the conductor keeps a request for orders open. */
export const ORDER_POLL_MS = 20_000

/** The partition at the end of the disk that holds the config drive. */
export const CONFIG_DRIVE_BYTES = 64 * 1024 * 1024

/** Agents read the index of the image that they write; its schema is the store's own. */
export { ImageIndex, indexFlaw, pieceLength } from '../../images/index.ts'
