/** Programs that open images: which package is missing where one cannot be started. */
import { expect, test } from 'vitest'
import { asFormat } from '../../images/confined.ts'
import { runOk } from '../../kit/run.ts'
import { ended } from './import-bench.ts'

const NOWHERE = ['env', '-i', 'PATH=/nowhere', 'LC_ALL=C.UTF-8']

test.each([
  ['prlimit', ['prlimit'], 'util-linux'],
  ['unshare', ['/usr/bin/prlimit', '--core=0', 'unshare'], 'util-linux'],
  ['setpriv', ['/usr/bin/prlimit', '--core=0', 'setpriv'], 'util-linux'],
  ['qemu-img', ['/usr/bin/setpriv', '--no-new-privs', '--', 'qemu-img'], 'qemu-utils'],
  ['xz', ['/usr/bin/setpriv', '--no-new-privs', '--', 'xz'], 'xz-utils'],
])('without %s the package is named', async (program, argv, name) => {
  const failed = runOk([...NOWHERE, ...argv], { timeoutMs: 30_000 }).catch((error: unknown) => {
    throw asFormat(error, [program])
  })
  expect(await ended(failed)).toBe(`run.missing: ${program} is not installed: install the package ${name}`)
})

test('what a program says of a file is no missing program', async () => {
  const failed = runOk(['env', '-i', '/bin/sh', '-c', 'echo "qemu-img: xz: No such file or directory" >&2; exit 1'], {
    timeoutMs: 30_000,
  }).catch((error: unknown) => {
    throw asFormat(error, ['qemu-img'])
  })
  expect(await ended(failed)).toMatch(/^image.format: qemu-img cannot read the image: /)
})
