/** Boot scripts of instances that boot from the network: their own kernel with their own arguments, or an ISO image. */
import { describe, expect, test } from 'vitest'
import { instanceArgs } from '../../conductor/boot/render.ts'
import { ramdiskSource } from '../../conductor/node/policy/instance-source.ts'
import { renderScript } from '../../pxe/script.ts'

describe('scripts', () => {
  const boot = ['console=ttyS0']
  test('an instance boots its own kernel with Ironic’s arguments before its own, and an ISO is booted over HTTP', () => {
    const order = {
      kind: 'kernel',
      what: 'its instance',
      kernelUrl: 'http://10.0.0.1/files/k',
      initrdUrl: 'http://10.0.0.1/files/r',
      args: instanceArgs(boot, ['root=live:http://x/y', 'quiet']),
    } as const
    expect(renderScript(order, 'n').split('\n').slice(2, 5)).toEqual([
      'kernel http://10.0.0.1/files/k initrd=initrd root=/dev/ram0 text console=ttyS0 root=live:http://x/y quiet || goto again',
      'initrd --name initrd http://10.0.0.1/files/r || goto again',
      'boot || goto again',
    ])
    expect(renderScript({ kind: 'iso', url: 'http://10.0.0.1/files/i' }, 'n').split('\n')[2]).toBe(
      'sanboot --no-describe http://10.0.0.1/files/i || goto again',
    )
    for (const bad of ['&&', '||', 'a b', '$x', '#'])
      expect(() => renderScript({ ...order, args: [bad] }, 'n')).toThrow()
  })
  test('the script takes what the source check lets through', () => {
    const info = { kernel: 'http://x/k', ramdisk: 'http://x/r', ramdisk_kernel_arguments: 'a&&b ~ c=[::1]:80 \t &' }
    const source = ramdiskSource(info, { uncheckedBootFiles: true, glance: false })
    if (source.kind !== 'kernel') throw new Error('no kernel')
    const url = 'http://10.0.0.1/f'
    const order = { kind: 'kernel', what: 'x', kernelUrl: url, initrdUrl: url, args: source.args } as const
    expect(renderScript(order, 'n')).toContain(' a&&b ~ c=[::1]:80 & || goto again')
  })
})
