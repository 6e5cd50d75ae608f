/** The files of a config drive: uuid and host name are filled in, what the user gave stands; what its reader would not
 *  see is refused. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { configFiles, driveFiles } from '../../conductor/node/policy/drive-form.ts'
import { checkDrive } from '../../conductor/node/policy/size.ts'
import { isFault } from '../../kit/fault.ts'

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

test('a seed of NoCloud', () => {
  const about = { uuid: 'u', name: null, instanceUuid: null }
  expect(driveFiles(about, { format: 'nocloud' })).toEqual({ 'meta-data': '{"instance-id":"u"}\n', 'user-data': '' })
  expect(
    driveFiles(
      { ...about, name: 'n' },
      { format: 'nocloud', user_data: '#!/bin/sh\n', vendor_data: 'x', network_config: { version: 1, config: [] } },
    ),
  ).toEqual({
    'meta-data': '{"instance-id":"u","local-hostname":"n"}\n',
    'user-data': '#!/bin/sh\n',
    'vendor-data': 'x',
    'network-config': '{"version":1,"config":[]}\n',
  })
})

test.each([
  [{ format: 'floppy' }, /configdrive\/format: there is config-2 and nocloud, and no "floppy"/],
  [{ format: {} }, /configdrive\/format/],
  [{ network_config: { version: 2 } }, /configdrive\/network_config: config-2 has network_data/],
  [{ format: 'nocloud', network_data: {} }, /configdrive\/network_data: nocloud has network_config/],
  [{ format: 'nocloud', userdata: '' }, /configdrive\/userdata: nocloud has meta_data, network_config/],
  [
    { format: 'nocloud', network_config: { network: { version: 2 } } },
    /network_config: it is an object with version 1/,
  ],
  [{ format: 'nocloud', meta_data: 'instance-id: x' }, /configdrive\/meta_data: it is an object/],
  [{ format: 'nocloud', user_data: 7 }, /configdrive\/user_data: it is a text, or an object/],
])('%j is refused', (given, why) => {
  expect(() => checkDrive(given, 1_000)).toThrow(why)
})

test('whatever is given is refused by name, or makes files with plain names', () => {
  const given = fc.dictionary(
    fc.oneof(fc.constantFrom('format', 'meta_data', 'user_data', 'vendor_data', 'network_config'), fc.string()),
    fc.oneof(fc.constantFrom('nocloud', 'config-2'), fc.jsonValue()),
  )
  fc.assert(
    fc.property(given, (drive) => {
      let files
      try {
        checkDrive(drive, 1_000_000)
        files = driveFiles({ uuid: 'u', name: 'n', instanceUuid: null }, drive)
      } catch (error) {
        if (isFault(error, 'input.invalid')) return
        throw error
      }
      for (const [path, content] of Object.entries(files)) {
        expect(path).toMatch(/^(openstack\/[\w.-]+\/)?[\w.-]+$/)
        expect(typeof content).toBe('string')
      }
    }),
  )
})
