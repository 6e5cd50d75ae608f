/** Faults of real BMCs with virtual media and UEFI HTTP boot, by name. */
import { DRIVE, EJECT, INSERT } from './families/virtual-media.ts'
import { body, type Rule } from './rules.ts'
import { link, MANAGER, ROOT, SYSTEM, type Answer, type Ask, type Dict } from './tree.ts'

const patternOf = (path: string): RegExp =>
  new RegExp(`^${path.replace(/[.{}]/g, String.raw`\$&`).replace(':drive', '[^/]+')}$`)
const INSERTION = { method: 'POST', path: patternOf(INSERT) } as const
const EJECTION = { method: 'POST', path: patternOf(EJECT) } as const
const LOOK = { method: 'GET', path: patternOf(DRIVE) } as const

const lacks =
  (key: string) =>
  ({ body: sent }: Ask): boolean =>
    sent[key] === undefined
const missing = (key: string): Rule => ({
  ...INSERTION,
  when: lacks(key),
  refuse: { status: 400, id: 'ActionParameterMissing', args: ['VirtualMedia.InsertMedia', key] },
})
const without = (from: Dict, key: string): Dict =>
  Object.fromEntries(Object.entries(from).filter(([one]) => one !== key))

/** A drive of the BMC that is not the first one that takes CDs. */
const secondDrive: Rule = {
  before: ({ families: { media } }) => {
    if (!media.drives.has('CD2')) media.drives.set('CD2', { types: ['CD'], image: null, inserted: false })
  },
}
const toFirst = (ask: Ask): boolean => ask.path.includes('/CD1/')

export const MEDIA_FAULTS = {
  'an insertion needs the protocol, and then credentials': [
    missing('TransferProtocolType'),
    missing('UserName'),
    missing('Password'),
  ],
  'an insertion needs what only the text of the error names': [
    {
      ...INSERTION,
      when: lacks('TransferProtocolType'),
      refuse: { status: 400, id: 'GeneralError', text: 'The property TransferProtocolType is a required property.' },
    },
  ],
  'an insertion is accepted and ignored': [{ ...INSERTION, lie: true }],
  'an ejection is accepted and ignored': [{ ...EJECTION, lie: true }],
  'a drive has no insertion (405)': [
    secondDrive,
    { ...INSERTION, when: toFirst, refuse: { status: 405, id: 'ActionNotSupported' } },
  ],
  'a drive is for a virtual console alone (400)': [
    secondDrive,
    { ...INSERTION, when: toFirst, refuse: { status: 400, id: 'GeneralError', text: 'vKVM is not mapped' } },
  ],
  'virtual media needs a licence': [{ ...INSERTION, refuse: { status: 403, id: 'LicenseRequired' } }],
  'an insertion is refused with the URL in the text': [
    {
      ...INSERTION,
      refuse: { status: 400, id: 'GeneralError', text: 'placeholder' },
      change: (answer: Answer, { body: { Image } }: Ask) => ({
        status: 400,
        body: { error: { code: 'Base.1.18.GeneralError', message: `Cannot mount ${String(Image)} now` } },
      }),
    },
  ],
  'drives have no actions': [{ ...LOOK, change: body((drive) => without(drive, 'Actions')) }],
  'the medium is never connected': [{ ...LOOK, change: body((drive) => ({ ...drive, ConnectedVia: 'NotConnected' })) }],
  'virtual media belongs to the manager': [
    { method: 'GET', path: SYSTEM, change: body((system) => without(system, 'VirtualMedia')) },
    {
      method: 'GET',
      path: MANAGER,
      change: body((manager) => ({ ...manager, VirtualMedia: link(`${ROOT}/Systems/1/VirtualMedia`) })),
    },
  ],
  'there is no virtual media': [
    { method: 'GET', path: SYSTEM, change: body((system) => without(system, 'VirtualMedia')) },
  ],
} satisfies Readonly<Record<string, readonly Rule[]>>
