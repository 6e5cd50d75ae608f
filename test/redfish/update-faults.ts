/** Faults of firmware updates in the field. */
import { MULTIPART, SIMPLE_UPDATE } from './families/updates.ts'
import type { Rule } from './rules.ts'

export const UPDATE_FAULTS = {
  'an update says that it is complete and installs nothing': [{ profile: { updates: 'install nothing' } }],
  'the ids of network adapters change at each start': [{ profile: { adaptersMove: true } }],
  'updates need a licence': [
    {
      method: 'POST',
      path: SIMPLE_UPDATE,
      refuse: { status: 403, id: 'OemLicenseNotPassed', text: 'No licence for out-of-band updates.' },
    },
  ],
  'the BMC fetches no firmware': [{ profile: { updateWays: ['multipart', 'push'] } }],
  'the BMC fetches firmware by TFTP alone': [{ profile: { updateWays: ['fetch by TFTP', 'multipart'] } }],
  'the BMC takes firmware as it is': [{ profile: { updateWays: ['push'] } }],
  'the BMC lists SimpleUpdate and does not carry it out': [
    { method: 'POST', path: SIMPLE_UPDATE, refuse: { status: 501, id: 'ActionNotSupported', args: ['SimpleUpdate'] } },
  ],
  'the BMC lists a multipart push and does not take it': [
    { profile: { updateWays: ['multipart', 'push'] } },
    { method: 'POST', path: MULTIPART, refuse: { status: 405, id: 'OperationNotAllowed' } },
  ],
  'firmware files may have eight bytes': [{ profile: { updateWays: ['multipart'], maxImageBytes: 8 } }],
  'an update takes no targets': [
    {
      method: 'POST',
      path: SIMPLE_UPDATE,
      when: ({ body }) => body.Targets !== undefined,
      refuse: { status: 400, id: 'ActionParameterNotSupported', args: ['Targets'] },
    },
  ],
} satisfies Readonly<Record<string, readonly Rule[]>>
