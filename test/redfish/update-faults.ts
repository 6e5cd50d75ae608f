/** Faults of firmware updates in the field. */
import { SIMPLE_UPDATE } from './families/updates.ts'
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
  'an update takes no targets': [
    {
      method: 'POST',
      path: SIMPLE_UPDATE,
      when: ({ body }) => body.Targets !== undefined,
      refuse: { status: 400, id: 'ActionParameterNotSupported', args: ['Targets'] },
    },
  ],
} satisfies Readonly<Record<string, readonly Rule[]>>
