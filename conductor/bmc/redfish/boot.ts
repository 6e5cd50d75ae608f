/** The boot override (ComputerSystem.Boot): sent minimally, completed by what the BMC says is missing, and read back. A
 *  2xx proves nothing here. */
import type { Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import type { BootChoice, BootDevice, BootNow } from '../controller.ts'
import { isDict, linkOf, type Dict, type Ordered, type RedfishClient, type Resource } from './client.ts'
import { faultOf, says, type Refusal } from './messages.ts'
import { readSystem, valuesOf } from './system.ts'

/** Redfish's names, the usual one first (schema ComputerSystem, BootSource); Supermicro has UsbCd for its virtual
 *  drive. */
const TARGETS: Readonly<Record<BootDevice, readonly string[]>> = {
  pxe: ['Pxe'],
  disk: ['Hdd'],
  cdrom: ['Cd', 'UsbCd'],
  bios: ['BiosSetup'],
  safe: [],
}

const [TARGET, ENABLED, MODE] = ['BootSourceOverrideTarget', 'BootSourceOverrideEnabled', 'BootSourceOverrideMode']

const bootOf = (resource: Resource): Dict => (isDict(resource.body.Boot) ? resource.body.Boot : {})

/** The target to ask for. Throws `node.unsupported` when the BMC names its targets and none means the device. */
export function targetFor(device: BootDevice, boot: Dict): string {
  const names = TARGETS[device]
  const allowed = valuesOf(boot[`${TARGET}@Redfish.AllowableValues`])
  const name = allowed === null ? names[0] : names.find((one) => allowed.includes(one))
  if (name) return name
  throw new Fault(
    'node.unsupported',
    `the BMC cannot boot from ${device}; it has ${(allowed ?? []).join(', ') || 'no such target'}`,
  )
}

/** Sets the override, and reads it back. Throws `bmc.unproven` when it is accepted and does not hold. */
export async function setOverride(
  parts: { readonly client: RedfishClient; readonly clock: Clock; readonly path: string },
  choice: BootChoice,
  signal: AbortSignal,
): Promise<void> {
  const { client, path } = parts
  const system = await readSystem(client, path, signal)
  const boot = bootOf(system)
  const wanted = wantedOf(choice, boot)
  if (holds(boot, wanted)) return

  const resource = await writable(client, system, signal)
  const minimal = omit(wanted, boot[MODE] === wanted[MODE] || wanted[MODE] === undefined ? [MODE] : [])
  const supply = choice.efi === null ? {} : { [MODE]: choice.efi ? 'UEFI' : 'Legacy' }
  const first = await sendMended(client, { resource, body: minimal, supply }, signal)
  let seen = await overrideAfter(parts, { system, wanted, isLater: first.isLater }, signal)
  if (!first.refusal && isSet(seen, wanted)) return

  // Some take the parts one by one, or drop what is not repeated with each change.
  if (wanted[MODE] !== undefined && seen[MODE] !== wanted[MODE])
    await sendMended(
      client,
      { resource: await client.get(resource.path, signal), body: { [MODE]: wanted[MODE] }, supply },
      signal,
    )
  const whole = { resource: await client.get(resource.path, signal), body: wanted, supply }
  const { refusal, isLater } = await sendMended(client, whole, signal)
  seen = await overrideAfter(parts, { system, wanted, isLater }, signal)
  if (isSet(seen, wanted)) return
  if (refusal) throw faultOf(refusal, `boot device ${choice.device} of ${path}`)
  throw new Fault(
    'bmc.unproven',
    `BMC took the boot device ${JSON.stringify(wanted)} and shows ${JSON.stringify(pick(seen))}`,
  )
}

/** How the server shall start from now on: its boot device stays. Throws `node.unsupported` where the BMC shows no
 *  mode, or has no such mode. */
export async function setOverrideMode(
  { client, path }: { readonly client: RedfishClient; readonly path: string },
  mode: 'uefi' | 'bios',
  signal: AbortSignal,
): Promise<void> {
  const system = await readSystem(client, path, signal)
  const boot = bootOf(system)
  const wanted = mode === 'uefi' ? 'UEFI' : 'Legacy'
  if (boot[MODE] === wanted) return
  const allowed = valuesOf(boot[`${MODE}@Redfish.AllowableValues`])
  if (boot[MODE] === undefined || (allowed !== null && !allowed.includes(wanted)))
    throw new Fault(
      'node.unsupported',
      `the BMC cannot set the boot mode ${mode}; it has ${allowed?.join(', ') ?? 'no boot mode'}`,
    )

  const resource = await writable(client, system, signal)
  const body = { [MODE]: wanted }
  if (!(await sendMended(client, { resource, body, supply: {} }, signal)).refusal) return
  const whole = { resource: await client.get(resource.path, signal), body: { ...pick2(boot), ...body }, supply: {} }
  const { refusal } = await sendMended(client, whole, signal)
  if (refusal) throw faultOf(refusal, `boot mode ${mode} of ${path}`)
}

export function overrideNow(body: Dict): BootNow {
  const boot = isDict(body.Boot) ? body.Boot : {}
  const device = (Object.keys(TARGETS) as BootDevice[]).find((one) => TARGETS[one].includes(String(boot[TARGET])))
  const enabled = boot[ENABLED]
  if (enabled === 'Disabled' || device === undefined) return { device: null, persistent: null }
  return { device, persistent: enabled === 'Continuous' }
}

/** How the server boots, as its boot override shows it; null where the BMC does not. */
export function overrideMode(body: Dict): 'uefi' | 'bios' | null {
  const mode = isDict(body.Boot) ? body.Boot[MODE] : undefined
  return mode === 'UEFI' ? 'uefi' : mode === 'Legacy' ? 'bios' : null
}

function wantedOf({ device, once, efi }: BootChoice, boot: Dict): Dict {
  const enabled = valuesOf(boot[`${ENABLED}@Redfish.AllowableValues`])
  // Lenovo has no Continuous: the choice is then made before each start, which is what we do anyway.
  const lasting = enabled === null || enabled.includes('Continuous') ? 'Continuous' : 'Once'
  return {
    [TARGET]: targetFor(device, boot),
    [ENABLED]: once ? 'Once' : lasting,
    // Where the mode is not shown, it cannot be set either; one that nobody knows is left as it is.
    ...(boot[MODE] === undefined || efi === null ? {} : { [MODE]: efi ? 'UEFI' : 'Legacy' }),
  }
}

const holds = (boot: Dict, wanted: Dict): boolean => Object.entries(wanted).every(([key, value]) => boot[key] === value)
/** Supermicro shows a network boot by UEFI that was asked for as the entry that it has made of it. */
const isSet = (boot: Dict, wanted: Dict): boolean =>
  holds(boot, wanted) ||
  (wanted[TARGET] === 'Pxe' &&
    boot[TARGET] === 'UefiBootNext' &&
    boot[MODE] === 'UEFI' &&
    holds(boot, omit(wanted, [TARGET])))
const omit = (body: Dict, keys: readonly string[]): Dict =>
  Object.fromEntries(Object.entries(body).filter(([key]) => !keys.includes(key)))
const pick = (boot: Dict): Dict => Object.fromEntries([TARGET, ENABLED, MODE].map((key) => [key, boot[key] ?? null]))

/** Where the override is written: the settings resource when it has one of its own, else the system (DSP0266, "Settings
 *  resource"). */
async function writable(client: RedfishClient, system: Resource, signal: AbortSignal): Promise<Resource> {
  const settings = settingsPath(system)
  if (settings === null) return system
  const pending = await client.get(settings, signal).catch(() => undefined)
  return pending && isDict(pending.body.Boot) && pending.body.Boot[TARGET] !== undefined ? pending : system
}

const settingsPath = ({ body }: Resource): string | null => {
  const settings = body['@Redfish.Settings']
  return isDict(settings) ? linkOf(settings.SettingsObject) : null
}

/** The override as it is now, pending changes included. */
async function overrideOf(client: RedfishClient, system: Resource, signal: AbortSignal): Promise<Dict> {
  const now = bootOf(await readSystem(client, system.path, signal))
  const settings = settingsPath(system)
  if (settings === null) return now
  const pending = await client.get(settings, signal).catch(() => undefined)
  return { ...now, ...(pending ? pick2(bootOf(pending)) : {}) }
}

const LATER_MS = 30_000
const LOOK_MS = 1_000

/** The override once it is what was asked for, or the time of a BMC that takes changes for later is over. */
async function overrideAfter(
  { client, clock }: { readonly client: RedfishClient; readonly clock: Clock },
  { system, wanted, isLater }: { system: Resource; wanted: Dict; isLater: boolean },
  signal: AbortSignal,
): Promise<Dict> {
  const endMs = clock.now() + (isLater ? LATER_MS : 0)
  for (;;) {
    const seen = await overrideOf(client, system, signal)
    if (isSet(seen, wanted) || clock.now() + LOOK_MS > endMs) return seen
    await clock.sleep(LOOK_MS, signal)
  }
}

const pick2 = (boot: Dict): Dict =>
  Object.fromEntries([TARGET, ENABLED, MODE].flatMap((key) => (boot[key] === undefined ? [] : [[key, boot[key]]])))

/** At most three rounds of adding what is said to be missing, from what the BMC shows or else from `supply`, and of
 *  leaving out what is said to be unknown. */
const ROUNDS = 3
const MISSING = ['PropertyMissing', 'ActionParameterMissing', 'CreateFailedMissingReqProperties']
const UNKNOWN = ['PropertyUnknown', 'PropertyNotWritable', 'PropertyValueNotInList', 'PropertyNotUpdated']

async function sendMended(
  client: RedfishClient,
  { resource, body, supply }: { resource: Resource; body: Dict; supply: Dict },
  signal: AbortSignal,
): Promise<Ordered> {
  let fields = body
  for (let round = 1; ; round += 1) {
    const ordered = await client.order(resource, { Boot: fields }, signal)
    if (!ordered.refusal || round >= ROUNDS) return ordered
    const mended = mend(fields, { refusal: ordered.refusal, boot: { ...supply, ...bootOf(resource) } })
    if (!mended) return ordered
    fields = mended
  }
}

/** Undefined when the refusal does not say what would help. */
export function mend(fields: Dict, { refusal, boot }: { refusal: Refusal; boot: Dict }): Dict | undefined {
  const named = [TARGET, ENABLED, MODE].filter((key) =>
    refusal.messages.some(({ args, text }) => args.some((arg) => arg.includes(key)) || text.includes(key)),
  )
  if (says(refusal, ...MISSING)) {
    const added = named.filter((key) => fields[key] === undefined && boot[key] !== undefined)
    return added.length > 0 ? { ...fields, ...Object.fromEntries(added.map((key) => [key, boot[key]])) } : undefined
  }
  if (!says(refusal, ...UNKNOWN)) return undefined
  // The target is what it is about; without it nothing is asked for.
  const left = omit(
    fields,
    named.filter((key) => key !== TARGET),
  )
  return Object.keys(left).length < Object.keys(fields).length ? left : undefined
}
