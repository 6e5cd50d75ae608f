/** The definition of a domain after changes: boot order and CD, and nothing else. */
import { expect, test } from 'vitest'
import { macsIn, uuidIn, withBootOrder, withMedium } from './libvirt-domain.ts'

const XML = `<domain type='kvm'>
  <name>rackward_server-1</name>
  <uuid>7d2fb9a6-58a2-4a5c-9f1c-0d8a4d6a8e11</uuid>
  <os>
    <type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>
    <boot dev='network'/>
    <boot dev='hd'/>
  </os>
  <devices>
    <disk type='file' device='disk'>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='network'>
      <mac address='52:54:00:88:00:01'/>
    </interface>
  </devices>
</domain>
`

test('what identifies the server is read', () => {
  expect([uuidIn(XML), macsIn(XML)]).toEqual(['7d2fb9a6-58a2-4a5c-9f1c-0d8a4d6a8e11', ['52:54:00:88:00:01']])
})

test('the order begins with what is wanted, and is the old one again without a wish', () => {
  const order = (xml: string) => [...xml.matchAll(/<boot dev='(\w+)'\/>/g)].map(([, device]) => device)
  expect(order(withBootOrder(XML, 'Cd'))).toEqual(['cdrom', 'network', 'hd'])
  expect(order(withBootOrder(XML, 'Hdd'))).toEqual(['hd', 'network'])
  expect(withBootOrder(withBootOrder(XML, 'Cd'), null)).toBe(XML)
})

test('a medium comes and goes, and the disk stays; a hostile URL stays inside its attribute', () => {
  const loaded = withMedium(XML, "http://10.88.0.2:8080/media/a'b/boot.iso?x=1&y='2'")
  expect(loaded).toContain(`<source protocol='http' name='media/a&apos;b/boot.iso' query='x=1&amp;y=%272%27'>`)
  expect(loaded).toContain(`<host name='10.88.0.2' port='8080'/>`)
  expect(withMedium(loaded, 'https://10.88.0.2/b.iso')).not.toContain('boot.iso')
  expect(withMedium(loaded, null)).toBe(XML)
})
