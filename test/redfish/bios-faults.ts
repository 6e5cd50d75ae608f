/** Faults of BIOS settings in the field. */
import { BIOS } from './families/bios.ts'
import { body, type Rule } from './rules.ts'

export const BIOS_FAULTS = {
  'there are no BIOS settings': [{ profile: { bios: 'none' } }],
  'BIOS settings are sealed as a job': [{ profile: { bios: 'sealed job' } }],
  'BIOS settings are shown before they are applied': [{ profile: { bios: 'shows orders early' } }],
  'a BIOS setting is taken and never applied': [{ profile: { neverApplied: ['ProcCores'] } }],
  'the BIOS names no registry': [
    { method: 'GET', path: BIOS, change: body((bios) => ({ ...bios, AttributeRegistry: undefined })) },
  ],
  'the link to the BIOS settings is null': [
    { method: 'GET', path: BIOS, change: body((bios) => ({ ...bios, '@Redfish.Settings': null })) },
  ],
  'tasks are gone at once': [
    { method: 'GET', path: /\/TaskService\/Tasks\//, refuse: { status: 404, id: 'ResourceMissingAtURI' } },
  ],
} satisfies Readonly<Record<string, readonly Rule[]>>
