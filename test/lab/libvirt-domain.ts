/** Changes of a domain's definition as libvirt writes it: what is booted first, and what is in its CD drive. */

/** BootSourceOverrideTarget -> libvirt's word. */
const FIRST: Readonly<Record<string, string>> = { Pxe: 'network', Hdd: 'hd', Cd: 'cdrom' }
const OWN_ORDER = ['network', 'hd']
const CD = /\s*<disk type='\w+' device='cdrom'>[\s\S]*?<\/disk>/g

export const uuidIn = (xml: string): string => /<uuid>([\da-f-]{36})<\/uuid>/.exec(xml)?.[1] ?? ''

export const macsIn = (xml: string): string[] =>
  [...xml.matchAll(/<mac address='([\da-f:]{17})'\/>/g)].map(([, mac = '']) => mac)

/** `target`: BootSourceOverrideTarget; null and what libvirt cannot do: network, then disk. */
export function withBootOrder(xml: string, target: string | null): string {
  const first = FIRST[target ?? '']
  const order = first ? [first, ...OWN_ORDER.filter((name) => name !== first)] : OWN_ORDER
  const lines = order.map((name) => `    <boot dev='${name}'/>\n`).join('')
  return xml.replaceAll(/ *<boot (?:dev|order)=[^>]*>\n/g, '').replace(/ *<\/os>/, `${lines}  </os>`)
}

/** QEMU reads an http URL itself, in ranges, while the guest reads the drive. */
export function withMedium(xml: string, url: string | null): string {
  const without = xml.replaceAll(CD, '')
  return url === null ? without : without.replace(/\n *<\/devices>/, `${cdOf(new URL(url))}\n  </devices>`)
}

const cdOf = ({ protocol, hostname, port, pathname, search }: URL): string => {
  const scheme = protocol.slice(0, -1)
  const source = [
    `protocol='${scheme}'`,
    `name='${escaped(decodeURI(pathname.slice(1)))}'`,
    ...(search ? [`query='${escaped(search.slice(1))}'`] : []),
  ]
  return `
    <disk type='network' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <source ${source.join(' ')}>
        <host name='${escaped(hostname)}' port='${port || (scheme === 'https' ? '443' : '80')}'/>
      </source>
      <target dev='hdc' bus='ide'/>
      <readonly/>
    </disk>`
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  "'": '&apos;',
  '"': '&quot;',
  '<': '&lt;',
  '>': '&gt;',
}
const escaped = (text: string): string => text.replaceAll(/[&'"<>]/g, (sign) => ENTITIES[sign] ?? sign)
