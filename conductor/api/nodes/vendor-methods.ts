/** The vendor methods of real hardware. Names, HTTP methods and arguments are Ironic's. */
import { rawBytes } from '../../bmc/raw.ts'
import type { NodeRecord } from '../../node/record.ts'
import type { NodeService } from '../../node/service.ts'
import { checkInput, Flag, z } from '../node-input.ts'

export interface BmcMethod {
  readonly description: string
  readonly http: 'GET' | 'POST' | 'DELETE'
  /** Answers 202 and no body; otherwise what it found, or null. */
  readonly async: boolean
  /** A node that is at work refuses it. */
  readonly lock: boolean
  readonly call: (nodes: NodeService, node: NodeRecord, args: Record<string, unknown>) => Promise<unknown>
}

const SendRaw = z.strictObject({ raw_bytes: z.string().min(1).max(1024) })
const BmcReset = z.strictObject({ warm: Flag.default(true) })

const IPMI: Readonly<Record<string, BmcMethod>> = {
  send_raw: {
    description:
      'sends a raw request to the BMC; raw_bytes: network function, command and data as text, such as "0x06 0x01"',
    http: 'POST',
    async: true,
    lock: true,
    call: (nodes, node, args) => nodes.atBmc.sendRaw(node, rawBytes(checkInput(SendRaw, args).raw_bytes)),
  },
  bmc_reset: {
    description: 'resets the BMC; warm: true (the default) for a warm reset, false for a cold one',
    http: 'POST',
    async: true,
    lock: true,
    call: (nodes, node, args) => nodes.atBmc.resetBmc(node, checkInput(BmcReset, args).warm ? 'warm' : 'cold'),
  },
}

const MAX_TEXT = 2_048
const MAX_HEADERS = 32
const Create = z.strictObject({
  Destination: z
    .string()
    .max(MAX_TEXT)
    .refine((text) => URL.canParse(text) && new URL(text).host !== '', 'is not a URI with a scheme and a host'),
  EventTypes: z.array(z.string().max(64)).min(1).max(32).nullish(),
  Context: z.string().max(MAX_TEXT).default(''),
  Protocol: z.string().max(64).default('Redfish'),
  HttpHeaders: z
    .array(z.record(z.string().max(255), z.string().max(MAX_TEXT)))
    .max(MAX_HEADERS)
    .nullish(),
})
const One = z.strictObject({ id: z.string().min(1).max(255) })
const None = z.strictObject({})

const DRIVES = { cd: 'cd', dvd: 'cd', usb: 'usb', usbstick: 'usb', floppy: 'floppy' } as const
const Eject = z.strictObject({
  boot_device: z
    .string()
    .transform((text) => text.toLowerCase())
    .pipe(z.enum(Object.keys(DRIVES) as (keyof typeof DRIVES)[]))
    .nullish(),
})

const REDFISH: Readonly<Record<string, BmcMethod>> = {
  create_subscription: {
    description:
      'subscribes to events of the BMC; Destination (required): the URL that it sends them to; EventTypes, Context, Protocol, HttpHeaders as in Redfish',
    http: 'POST',
    async: false,
    lock: true,
    call: (nodes, node, args) => {
      const given = checkInput(Create, args)
      return nodes.subscriptions.create(node, {
        destination: given.Destination,
        protocol: given.Protocol,
        context: given.Context,
        eventTypes: given.EventTypes ?? null,
        httpHeaders: given.HttpHeaders ?? [],
      })
    },
  },
  delete_subscription: {
    description: 'deletes an event subscription of the BMC; id (required)',
    http: 'DELETE',
    async: false,
    lock: true,
    call: (nodes, node, args) => nodes.subscriptions.remove(node, checkInput(One, args).id),
  },
  get_all_subscriptions: {
    description: 'lists the event subscriptions of the BMC',
    http: 'GET',
    async: false,
    lock: false,
    call: (nodes, node, args) => {
      checkInput(None, args)
      return nodes.subscriptions.list(node)
    },
  },
  get_subscription: {
    description: 'shows an event subscription of the BMC; id (required)',
    http: 'GET',
    async: false,
    lock: false,
    call: (nodes, node, args) => nodes.subscriptions.show(node, checkInput(One, args).id),
  },
  eject_vmedia: {
    description: 'ejects virtual media; boot_device: cd, dvd, usb or floppy; absent: all of them',
    http: 'POST',
    async: true,
    lock: true,
    call: (nodes, node, args) => {
      const { boot_device: device } = checkInput(Eject, args)
      return nodes.media.detach(node, device ? [DRIVES[device]] : null)
    },
  },
}

const METHODS: Readonly<Record<string, Readonly<Record<string, BmcMethod>>>> = {
  ipmitool: IPMI,
  redfish: REDFISH,
  'idrac-redfish': REDFISH,
}

/** Those of a vendor interface, by name. */
export const vendorMethodsOf = (vendor: string | null): Readonly<Record<string, BmcMethod>> =>
  (vendor !== null && Object.hasOwn(METHODS, vendor) ? METHODS[vendor] : undefined) ?? {}
