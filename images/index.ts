/** What an image is: an index of fixed-size pieces of a raw whole-disk image, each with its hash and its place in the
 *  compressed data. A piece is a zstd frame of its own, so any run of pieces is one range of `data.zst` that `zstd -dc`
 *  unpacks. */
import * as z from 'zod/mini'
import { ARCHITECTURES } from '../kit/architecture.ts'

export const PIECE_BYTES = 4 * 1024 * 1024
export const MAX_MODULES = 20_000
export const MAX_MODULE_NAME = 64

const Hex = z.string().check(z.regex(/^[0-9a-f]{64}$/))

export const Piece = z.object({
  /** SHA-256 of the raw bytes of the piece. */
  sha256: Hex,
  /** All bytes are zero: nothing is stored. */
  zero: z.boolean(),
  /** Place of its frame in the compressed data. */
  at: z.int().check(z.nonnegative()),
  lengthBytes: z.int().check(z.nonnegative()),
})

/** A file of the image, and where its bytes lie on the disk, in their order. */
export const BootFile = z.object({
  sha256: Hex,
  sizeBytes: z.int().check(z.positive()),
  extents: z
    .array(z.object({ at: z.int().check(z.nonnegative()), lengthBytes: z.int().check(z.positive()) }))
    .check(z.maxLength(1024)),
})

/** What the boot loader of the image starts, for a start without firmware (kexec). */
export const BootKernel = z.object({
  kernel: BootFile,
  initrd: BootFile,
  /** Of the kernel. */
  args: z.string().check(z.maxLength(2_000)),
  /** What it can load before it has mounted its root, and what is part of it; absent: it is not known. */
  modules: z.optional(z.array(z.string().check(z.maxLength(MAX_MODULE_NAME))).check(z.maxLength(MAX_MODULES))),
})

export const ImageIndex = z.object({
  /** SHA-256 of the whole raw image. */
  id: Hex,
  names: z.array(z.string()),
  sizeBytes: z.int().check(z.positive()),
  pieceBytes: z.int().check(z.positive()),
  dataBytes: z.int().check(z.nonnegative()),
  pieces: z.array(Piece),
  createdAt: z.string(),
  osType: z.optional(z.string()),
  /** Loader on the ESP for the UEFI boot entry, with backslashes. */
  efiLoader: z.optional(z.string()),
  /** Whether this loader carries a signature; absent: it is not known. */
  signedLoader: z.optional(z.boolean()),
  /** Of the servers that it boots; absent: it is not known. */
  architecture: z.optional(z.enum(ARCHITECTURES)),
  /** Absent: it cannot be told, or the image was imported by an older program. */
  bootKernel: z.optional(BootKernel),
  /** The partition that grows to the end of the disk, by number, and its file system. */
  grow: z.optional(z.object({ partition: z.int().check(z.positive()), fileSystem: z.literal('ext4') })),
})

export type BootFile = z.infer<typeof BootFile>
export type BootKernel = z.infer<typeof BootKernel>
export type Piece = z.infer<typeof Piece>
export type ImageIndex = z.infer<typeof ImageIndex>
/** What can be told of an image beside its bytes; an import finds the last two, where nobody says them. */
export type ImageTraits = Pick<
  ImageIndex,
  'osType' | 'architecture' | 'efiLoader' | 'grow' | 'signedLoader' | 'bootKernel'
>

/** Everything that an import records of an image. What is kept by what made it is made anew where this has grown. */
export const IMAGE_FIELDS: readonly string[] = [ImageIndex, Piece, BootKernel, BootFile].flatMap(({ shape }) =>
  Object.keys(shape),
)

/** Bytes of piece `number`; the last one may be short. */
export const pieceLength = (index: Pick<ImageIndex, 'sizeBytes' | 'pieceBytes'>, number: number): number =>
  Math.min(index.pieceBytes, index.sizeBytes - number * index.pieceBytes)

/** What a parsed index must hold beyond its types: pieces cover the image and their frames lie in the data, in
 *  order. */
export function indexFlaw(index: ImageIndex): string | undefined {
  if (index.pieces.length !== Math.ceil(index.sizeBytes / index.pieceBytes))
    return 'the number of pieces does not cover the size'
  let at = 0
  for (const [number, piece] of index.pieces.entries()) {
    if (piece.zero ? piece.lengthBytes !== 0 : piece.at !== at || piece.lengthBytes === 0)
      return `piece ${number} does not follow the one before`
    at += piece.lengthBytes
  }
  return at === index.dataBytes ? undefined : 'the data is longer or shorter than its pieces'
}
