/** Which disk takes the image: Ironic's hints, and no guessing between equals. */
import { expect, test } from 'vitest'
import type { Disk } from '../../conductor/api/agent-wire.ts'
import { chooseRootDisk, matches } from '../../host-agent/deploy/hints.ts'
import { Fault } from '../../kit/fault.ts'
import { testDisk } from './disks.ts'

const GIB = 1024 ** 3
const disk = (name: string, gib: number, more: Partial<Disk> = {}): Disk =>
  testDisk(`/dev/${name}`, gib * GIB, { model: 'Samsung SSD 970', vendor: 'ATA', serial: `S-${name}`, ...more })
const sda = disk('sda', 100)
const sdb = disk('sdb', 50, { rotational: true, model: 'WD Blue', wwn: '0x5000c500a0b1c2d3' })
const sdc = disk('sdc', 2)
const choose = (disks: Disk[], hints: Record<string, unknown> | null, bytes = GIB) => {
  try {
    return chooseRootDisk(disks, hints, bytes).name
  } catch (error) {
    return (error as Fault).code
  }
}

test.each<[string, Disk[], Record<string, unknown> | null, number, string]>([
  ['without hints, the smallest that has 4 GiB', [sda, sdb, sdc], null, GIB, '/dev/sdb'],
  ['equal sizes without hints: by name', [disk('sdb', 50), disk('sda', 50)], {}, GIB, '/dev/sda'],
  ['no disks', [], null, GIB, 'deploy.no-disk'],
  ['only small disks', [sdc], null, GIB, 'deploy.no-disk'],
  ['a read-only disk is none', [disk('sda', 50, { readOnly: true })], null, GIB, 'deploy.no-disk'],
  ['hints that nothing matches', [sda, sdb], { serial: 'X' }, GIB, 'deploy.hints'],
  ['a hint that is not known', [sda], { colour: 'red' }, GIB, 'deploy.hints'],
  ['two equal disks match', [disk('sda', 50), disk('sdb', 50)], { rotational: false }, GIB, 'deploy.ambiguous'],
  ['the smaller of two that match', [sda, disk('sdd', 60)], { rotational: 'false' }, GIB, '/dev/sdd'],
  ['an image that fits none', [sda, sdb], null, 200 * GIB, 'deploy.too-small'],
  ['an image that fits the bigger one', [sda, sdb], null, 80 * GIB, '/dev/sda'],
  ['a hinted disk may be small', [sda, sdc], { serial: 'S-sdc' }, GIB, '/dev/sdc'],
])('%s', (_, disks, hints, bytes, wanted) => expect(choose(disks, hints, bytes)).toBe(wanted))

test.each<[Record<string, unknown>, boolean]>([
  [{ size: 50 }, true],
  [{ size: '>= 50' }, true],
  [{ size: '> 50' }, false],
  [{ size: '!= 50' }, false],
  [{ size: '<or> 10 <or> 50' }, true],
  [{ size: 'big' }, false],
  [{ model: 'wd blue' }, true],
  [{ model: 'wd%20blue' }, true],
  [{ model: '<in> blue' }, true],
  [{ model: '<all-in> wd blue' }, true],
  [{ model: '<or> x <or> wd blue' }, true],
  [{ model: 's!= wd blue' }, false],
  [{ model: 's== wd blue' }, true],
  [{ rotational: true }, true],
  [{ rotational: 'no' }, false],
  [{ wwn: '0x5000C500A0B1C2D3' }, true],
  [{ hctl: '0:0:0:0' }, false],
  [{ name: 's== /dev/sdb', size: '< 51' }, true],
  [{ model: '%' }, false],
])('%j on a 50 GiB rotating WD Blue: %s', (hints, wanted) => expect(matches(sdb, hints)).toBe(wanted))
