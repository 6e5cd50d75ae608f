/** The files of a config drive: uuid and host name are filled in, what the user gave stands. */
import { expect, test } from 'vitest'
import { configFiles } from '../../conductor/agents/config-drive.ts'

test('config drive files: uuid and host name are filled in, what the user gave stands', () => {
  const about = { uuid: 'u', name: 'n', instanceUuid: 'i' }
  expect(configFiles(about, {})).toEqual({ 'meta_data.json': '{"uuid":"i","name":"n","hostname":"n"}' })
  expect(
    configFiles(about, {
      meta_data: { hostname: 'h' },
      user_data: { a: 1 },
      network_data: { links: [] },
      vendor_data: {},
    }),
  ).toEqual({
    'meta_data.json': '{"uuid":"i","name":"n","hostname":"h"}',
    user_data: '{"a":1}',
    'network_data.json': '{"links":[]}',
    'vendor_data2.json': '{}',
  })
})
