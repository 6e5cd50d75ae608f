/** The agent looks at the architecture of an image itself before it touches a disk. */
import { expect, test } from 'vitest'
import { checkArchitecture } from '../../host-agent/deploy/orders.ts'

test.each([
  ['x86_64', 'arm64'],
  ['aarch64', 'x64'],
] as const)('an image for %s is refused where Node.js says %s', (architecture, arch) => {
  expect(() => checkArchitecture({ architecture }, arch)).toThrow(/instance_info\/image_source: the image is for/)
})

test('one of its own is taken, and one of which nothing is known', () => {
  for (const [architecture, arch] of [
    ['x86_64', 'x64'],
    ['aarch64', 'arm64'],
  ] as const)
    expect(() => checkArchitecture({ architecture }, arch)).not.toThrow()
  expect(() => checkArchitecture({}, 'arm64')).not.toThrow()
  expect(() => checkArchitecture({ architecture: 'x86_64' }, 'riscv64')).not.toThrow()
})
