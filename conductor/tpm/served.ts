/** What the events of a boot say that ran, compared with what was served in it: no value has to be learned before.
 *  Names and types of events are not signed, their digests are, so only digests decide. Pure. */
import { createHash } from 'node:crypto'
import { Fault } from '../../kit/fault.ts'
import { EVENT, isSeparator, type LogEvent } from './event-log.ts'

export interface Served {
  /** Digests of EFI programs as firmware measures them. */
  readonly shim: Buffer | undefined
  readonly grub: Buffer | undefined
  /** The signed ramdisk of the site. */
  readonly uki: Buffer | undefined
  readonly kernelProgram: Buffer | undefined
  /** Of the files themselves. */
  readonly kernel: Buffer
  readonly initrd: Buffer
  readonly kernelPath: string
  readonly initrdPath: string
  /** Of the kernel, as they were rendered for this boot; undefined: no address of the log fits it. */
  readonly args: (said: SaidNetwork) => readonly string[] | undefined
  /** Digests of the configurations of GRUB, with the waits that the log names. */
  readonly configs: (said: SaidBoot) => readonly Buffer[]
}

/** What only the log knows: the card that booted, and the address that it got. */
export interface SaidNetwork {
  readonly mac: string
  readonly ip: string
}

export interface SaidBoot extends SaidNetwork {
  readonly waits: readonly { readonly turn: string; readonly againSeconds: number }[]
}

/** How far the measurements reach. */
export type Reach =
  | { readonly reach: 'whole'; readonly by: 'grub' | 'uki' }
  /** This way of booting does not measure what was served. */
  | { readonly reach: 'partial'; readonly why: string }

const COMMAND = 'grub_cmd: '
const CMDLINE = 'kernel_cmdline: '
/** Of Linux's stub, PCR 9: a tag and a length before the name. */
const TAG = 0x00000006
const TAG_HEAD_BYTES = 8
const SHOWN = 120
const NOTE_BYTES = 128
const NOTE = /^[\x20-\x7e]{1,127}\0?$/
/** "(http,10.0.0.1:8080)", as GRUB names where a file is; what a kernel would take for more than one word is none. */
const DEVICE = /^\([\w,.:[\]-]+\)/

const sha256 = (bytes: Buffer | string): Buffer => createHash('sha256').update(bytes).digest()
const textOf = (data: Buffer): string => data.toString('latin1').replace(/\0+$/, '')

/** Throws `tpm.served` for the first thing that was not served. */
export function compareServed(events: readonly LogEvent[], served: Served): Reach {
  const programs = extendedIn(events, 4).filter((one) => !isNote(one))
  const ran = (digest: Buffer | undefined): boolean => programs.some((one) => digest?.equals(one.digest) ?? false)
  if (ran(served.uki)) {
    checkPrograms(programs, [served.uki, served.kernelProgram])
    checkNoAddons(events)
    return { reach: 'whole', by: 'uki' }
  }
  if (!ran(served.grub))
    return {
      reach: 'partial',
      why: !programs.some(({ type }) => type >= EVENT.bootApplication && type <= EVENT.runtimeDriver)
        ? 'its firmware measures no EFI programs: it boots in BIOS mode'
        : 'it did not boot through the signed GRUB of boot.loaders, and iPXE measures nothing',
    }
  checkPrograms(programs, [served.shim, served.grub, served.kernelProgram])
  checkGrub(events, served)
  return { reach: 'whole', by: 'grub' }
}

/** All that was measured into a PCR, whatever the log calls it, but for the marks that firmware sets in it. */
const extendedIn = (events: readonly LogEvent[], at: number): readonly LogEvent[] =>
  events.filter((one) => one.pcr === at && one.type !== EVENT.noAction && !isSeparator(one))

/** What firmware says of its own course, such as "Calling EFI Application from Boot Option". No program has the digest
 *  of a printable text: programs begin with a header that holds zeros. */
const isNote = ({ digest, data }: LogEvent): boolean =>
  NOTE.test(data.toString('latin1', 0, NOTE_BYTES + 1)) && sha256(data).equals(digest)

function checkPrograms(programs: readonly LogEvent[], known: readonly (Buffer | undefined)[]): void {
  for (const { digest } of programs)
    if (!known.some((one) => one?.equals(digest)))
      throw new Fault('tpm.served', `it ran an EFI program that was not served (SHA-256 ${digest.toString('hex')})`)
}

/** Beside a signed ramdisk, systemd's stub takes command lines, credentials and additions, and measures them. */
function checkNoAddons(events: readonly LogEvent[]): void {
  const added = [...extendedIn(events, 12), ...extendedIn(events, 13)][0]
  if (added) throw new Fault('tpm.served', `something was added to the signed ramdisk (PCR ${added.pcr})`)
}

function checkGrub(events: readonly LogEvent[], served: Served): void {
  const commands = events.filter(({ pcr }) => pcr === 8).map(commandOf)
  const lines = commands.filter(({ isCmdline }) => isCmdline).map(({ text }) => text)
  const last = lines.at(-1)
  if (last === undefined) throw new Fault('tpm.served', 'GRUB started no kernel')
  const said = { ...networkOf(last), waits: waitsOf(commands.map(({ text }) => text)) }
  const args = served.args(said)
  const device = DEVICE.exec(last)?.[0] ?? ''
  const cmdline = args && `${device}${served.kernelPath} ${args.join(' ')}`
  if (cmdline === undefined || lines.some((line) => line !== cmdline))
    throw new Fault('tpm.served', 'the command line of its kernel is not the one that was served in this boot')

  for (const { text, isCmdline } of commands)
    if (!isCmdline && !isExpected(text, { cmdline, initrd: `${device}${served.initrdPath}` }))
      throw new Fault('tpm.served', `GRUB ran a command that was not served: ${JSON.stringify(text.slice(0, SHOWN))}`)
  checkFiles(events, served, { said, cmdline })
}

/** The text of an event of PCR 8 is what was extended, so it is true. */
function commandOf({ type, data, digest }: LogEvent): { text: string; isCmdline: boolean } {
  const all = textOf(data)
  const isCmdline = all.startsWith(CMDLINE)
  const text = all.slice(isCmdline ? CMDLINE.length : COMMAND.length)
  if (
    type !== EVENT.ipl ||
    (!isCmdline && !all.startsWith(COMMAND)) ||
    !sha256(Buffer.from(text, 'latin1')).equals(digest)
  )
    throw new Fault(
      'tpm.log',
      `an event of PCR 8 does not say what was measured: ${JSON.stringify(all.slice(0, SHOWN))}`,
    )
  return { text, isCmdline }
}

const networkOf = (cmdline: string): SaidNetwork => {
  const word = (name: string) => new RegExp(` rackward\\.${name}=([^ /]+)`).exec(cmdline)?.[1] ?? ''
  return { mac: word('mac'), ip: word('ip') }
}

const MAX_WAITS = 1000

function waitsOf(commands: readonly string[]): SaidBoot['waits'] {
  return commands
    .flatMap((text, i) => {
      const turn = /^echo Rackward: \S+ waits for a place: (.{0,200})$/.exec(text)?.[1]
      const seconds = /^sleep (\d{1,4})$/.exec(commands[i + 1] ?? '')?.[1]
      return turn === undefined || seconds === undefined ? [] : [{ turn, againSeconds: Number(seconds) }]
    })
    .slice(0, MAX_WAITS)
}

/** What GRUB's own script does before it reads a configuration, and what the served ones do. What may be sourced is for
 *  PCR 9 to say. */
const HARMLESS = [
  /^\[ .* \]$/,
  /^source \S+$/,
  /^true$/,
  /^echo Rackward: .*$/,
  /^sleep \d{1,4}$/,
  /^set timeout=0$/,
  /^set rackward_waits=(yes|no)$/,
  /^boot$/,
]

function isExpected(text: string, { cmdline, initrd }: { readonly cmdline: string; readonly initrd: string }): boolean {
  if (text.startsWith('linux ')) return text === `linux ${cmdline}`
  if (text.startsWith('initrd ')) return text === `initrd ${initrd}`
  return HARMLESS.some((one) => one.test(text))
}

/** Every file that GRUB read, and what the stub of the kernel says of its initrd and its command line. */
function checkFiles(
  events: readonly LogEvent[],
  served: Served,
  { said, cmdline }: { readonly said: SaidBoot; readonly cmdline: string },
): void {
  const measured = extendedIn(events, 9)
  const hex = (digests: readonly Buffer[]) => new Set(digests.map((one) => one.toString('hex')))
  const files = hex([served.kernel, served.initrd, ...served.configs(said)])
  const ofStub = hex([served.initrd, sha256(Buffer.from(`BOOT_IMAGE=${cmdline}`, 'utf16le'))])
  for (const { type, digest, data } of measured) {
    const known = type === TAG ? ofStub : files
    if (known.has(digest.toString('hex'))) continue
    const name = textOf(type === TAG ? data.subarray(TAG_HEAD_BYTES) : data)
    throw new Fault('tpm.served', `${JSON.stringify(name.slice(0, SHOWN))} is not the file that was served`)
  }
  for (const [what, digest] of [
    ['kernel', served.kernel],
    ['initrd', served.initrd],
  ] as const)
    if (!measured.some((one) => one.digest.equals(digest)))
      throw new Fault('tpm.served', `the ${what} that was served is not among what GRUB read`)
}
