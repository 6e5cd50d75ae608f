/** What mdadm 4.2 prints, as it prints it: arrays, members, and what is none. */
import { expect, test } from 'vitest'
import { parseExport } from '../../../host-agent/deploy/raid/mdadm.ts'

const UUID = '3f2a8c1e:5b7d4e60:9a1c2b3d:4e5f6071'

/** `mdadm --detail --export /dev/md0` of a mirror, whole and degraded. */
const DETAIL = `MD_LEVEL=raid1
MD_DEVICES=2
MD_METADATA=1.0
MD_UUID=${UUID}
MD_DEVNAME=root
MD_NAME=any:root
MD_DEVICE_dev_sdb2_ROLE=1
MD_DEVICE_dev_sdb2_DEV=/dev/sdb2
MD_DEVICE_dev_sda2_ROLE=0
MD_DEVICE_dev_sda2_DEV=/dev/sda2
`
const DEGRADED = DETAIL.replace(/MD_DEVICE_dev_sda2.*\n/g, '')
const SPARE = `${DETAIL}MD_DEVICE_dev_sdc2_ROLE=spare
MD_DEVICE_dev_sdc2_DEV=/dev/sdc2
`
/** `mdadm --examine --export /dev/nvme0n1p3`: of a member. */
const EXAMINE = `MD_LEVEL=raid10
MD_DEVICES=4
MD_NAME=any:data
MD_ARRAY_SIZE=894.00GiB
MD_UUID=${UUID}
MD_UPDATE_TIME=1700000000
MD_DEV_UUID=00112233:44556677:8899aabb:ccddeeff
MD_EVENTS=21
`
/** Of a member of Intel's container, which names itself otherwise. */
const CONTAINER = `MD_METADATA=imsm
MD_LEVEL=container
MD_UUID=${UUID}
MD_DEVICES=2
`
const facts = { id: UUID, name: 'root', level: 'raid1', metadata: '1.0', devices: 2 }

test.each([
  ['a mirror, its members by their roles', DETAIL, { ...facts, members: ['/dev/sda2', '/dev/sdb2'] }],
  ['a mirror that lacks one', DEGRADED, { ...facts, members: ['/dev/sdb2'] }],
  ['a mirror with a spare, which is no member', SPARE, { ...facts, members: ['/dev/sda2', '/dev/sdb2'] }],
  ['a superblock', EXAMINE, { id: UUID, name: 'data', level: 'raid10', metadata: '', devices: 4, members: [] }],
  ['a name without a home', DETAIL.replace('any:root', 'root'), { ...facts, members: ['/dev/sda2', '/dev/sdb2'] }],
  ['a container', CONTAINER, { id: UUID, name: '', level: 'container', metadata: 'imsm', devices: 2, members: [] }],
])('%s', (_, text, found) => {
  expect(parseExport(text)).toEqual(found)
})

test.each([
  '',
  'mdadm: No md superblock detected on /dev/sda.\n',
  'MD_LEVEL=raid1\nMD_UUID=none\n',
  '=\n=x\nMD_UUID\n',
])('no array: %j', (text) => {
  expect(parseExport(text)).toBeUndefined()
})
