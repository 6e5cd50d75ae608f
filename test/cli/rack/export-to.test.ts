/** `rackward rack export --to`: rack files as inventories of Bifrost, Metal3, Tinkerbell and MAAS. What is read back is
 *  what was there, and what is not was told; no password is in any. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ExportedFile } from '../../../cli/rack/export.ts'
import { checkTarget, inventoryOf } from '../../../cli/rack/export-to/write.ts'
import { convert, ORIGINS } from '../../../cli/rack/import/convert.ts'
import { NotCarried } from '../../../cli/rack/import/source.ts'
import { Units, type ImportedNode } from '../../../cli/rack/import/units.ts'

const AT = { file: 'x', line: 1, column: 1 }
const pickAll = <T extends object>(shape: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(shape as never, { requiredKeys: [] } as never) as fc.Arbitrary<Partial<T>>

// With a CSI of the C1 set, and a change of direction.
const word = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9 {}:,#'"é\u009b\u202e-]{0,12}[A-Za-z0-9}]$/)
const name = fc.stringMatching(/^[a-z][a-z0-9.-]{0,10}[a-z0-9]$/)
const anyName = fc.oneof(
  { weight: 4, arbitrary: name },
  fc.stringMatching(/^[A-Za-z0-9_~.-]{1,12}$/).filter((one) => one !== '__proto__'),
)
const mac = fc.stringMatching(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/)
const host = fc.oneof(fc.ipV4(), fc.constant('bmc-1.example'), fc.constant('2001:db8::7'))
const endpoint = fc
  .tuple(
    fc.constantFrom('http', 'https'),
    fc.oneof(fc.ipV4(), fc.constant('[2001:db8::7]')),
    fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }),
  )
  .map(([scheme, one, port]) => `${scheme}://${one}${port === undefined ? '' : `:${port}`}`)
const size = fc.integer({ min: 1, max: 1e6 })

const node: fc.Arbitrary<ImportedNode> = fc.constantFrom('ipmi', 'redfish', 'idrac').chain((driver) => {
  const prefix = driver === 'ipmi' ? 'ipmi' : 'redfish'
  const info = pickAll<Record<string, unknown>>({
    [`${prefix}_username`]: word,
    ...(prefix === 'ipmi'
      ? { ipmi_port: fc.integer({ min: 1, max: 65_535 }), ipmi_cipher_suite: fc.constantFrom('3', '17') }
      : { redfish_verify_ca: fc.boolean(), redfish_system_id: fc.constantFrom('/redfish/v1/Systems/1', 'System.1') }),
  })
  return fc.record(
    {
      name: anyName,
      at: fc.constant(AT),
      rack: fc.option(fc.constantFrom('r1', 'default', 'toString'), { nil: undefined }),
      driver: fc.constant(driver),
      bmc: fc.option(prefix === 'ipmi' ? host : endpoint, { nil: undefined, freq: 6 }),
      driverInfo: info,
      passwordKey: fc.constantFrom(undefined, `${prefix}_password`),
      properties: pickAll({
        cpu_arch: fc.constantFrom('x86_64', 'aarch64', 'riscv64'),
        cpus: size,
        memory_mb: size,
        local_gb: size,
        other: word,
      }),
      capabilities: pickAll({
        boot_mode: fc.constantFrom('uefi', 'bios'),
        secure_boot: fc.constant('true'),
      }) as fc.Arbitrary<Record<string, string>>,
      rootDevice: pickAll({
        name: fc.constantFrom('s== /dev/sda', '/dev/sdb', '<or> /dev/sda <or> /dev/sdb'),
        size: fc.constantFrom('>= 400', '== 10', 12),
        rotational: fc.boolean(),
        model: fc.constantFrom('<in> SSD', 's== SSD'),
        wwn: fc.constantFrom('s== 0x5', '0x5'),
      }),
      ports: fc.uniqueArray(fc.record({ address: mac, pxe_enabled: fc.constantFrom(true, false, undefined) }), {
        maxLength: 4,
        selector: ({ address }) => address,
      }),
      image: fc.option(
        fc.constantFrom<ImportedNode['image']>(
          { url: 'https://h/a.raw', digest: { sha256: 'a'.repeat(64) } },
          { url: 'http://h/b.raw', digest: { sha512: 'b'.repeat(128) } },
        ),
        { nil: undefined },
      ),
      more: pickAll({
        traits: fc.uniqueArray(fc.constantFrom('CUSTOM_A', 'CUSTOM_B_2', 'HW_CPU_X86_AVX'), { minLength: 1 }),
        resource_class: word,
        description: word,
        automated_clean: fc.boolean(),
      }),
    },
    { requiredKeys: ['name', 'at', 'driver', 'ports'] },
  ) as fc.Arbitrary<ImportedNode>
})
const nodes = fc.uniqueArray(node, { minLength: 1, maxLength: 5, selector: ({ name: one }) => one })

function fileOf(all: readonly ImportedNode[]): ExportedFile {
  const units = new Units('lab', new NotCarried())
  for (const one of all) units.add(one)
  return units.file
}

/** `NAME: driver_info/ipmi_port` -> its value as text, for all that a file says. */
function factsOf(file: ExportedFile): Map<string, string> {
  const facts = new Map<string, string>()
  for (const [rack, { units }] of Object.entries(file.racks))
    for (const unit of Object.values(units)) {
      const put = (key: string, value: unknown) => void facts.set(`${String(unit.name)}: ${key}`, JSON.stringify(value))
      if (rack !== 'unplaced' && rack !== 'default') put('the rack', rack)
      for (const [key, value] of Object.entries(unit)) {
        if (key === 'name') continue
        if (key === 'image') put(key, file.images[String(value)])
        else if (key === 'traits') for (const trait of value as string[]) put(`traits/${trait}`, true)
        else if (key === 'ports')
          for (const { address, pxe_enabled: pxe = true } of value as { address: string; pxe_enabled?: boolean }[]) {
            put(`ports/${address}`, '')
            if (!pxe) put(`ports/${address}/pxe_enabled`, 'false')
          }
        else if (['driver_info', 'properties', 'capabilities', 'root_device'].includes(key))
          for (const [inner, one] of Object.entries(value as object))
            put(`${key}/${inner}`, inner.endsWith('password') ? '' : String(one))
        else put(key, String(value))
      }
    }
  return facts
}

const isTold = (fact: string, left: readonly string[]): boolean => {
  const [one = '', ...rest] = fact.split(': ')
  const key = rest.join(': ')
  const parts = key.split('/')
  const names = [
    key,
    parts[0],
    'the node',
    ...(/^ports.*pxe_enabled$/.test(key) ? ['ports/pxe_enabled', parts.slice(0, 2).join('/')] : []),
  ]
  return names.some((known) => left.some((line) => line.startsWith(`${one}: ${known} `)))
}

test.each(ORIGINS)('%s: what is read back is what was there, and what is not was told', async (to) => {
  await fc.assert(
    fc.asyncProperty(nodes, async (all) => {
      const file = fileOf(all)
      const { text, left } = await inventoryOf(file, to)
      expect(text).not.toMatch(/[\u007f-\u009f\p{Cf}]/u)
      const before = factsOf(file)
      const empty = left.filter((line) => / the node is not written/.test(line)).length === all.length
      const after = empty
        ? new Map<string, string>()
        : factsOf((await convert(text, 'f.yaml', { from: to, site: 'lab' })).file)
      for (const [fact, value] of before)
        if (after.get(fact) !== value) expect([fact, value, isTold(fact, left)]).toEqual([fact, value, true])
      // Tinkerbell's machines have a password each.
      for (const fact of after.keys()) if (!fact.endsWith('_password')) expect([...before.keys()]).toContain(fact)
    }),
  )
})

test('a file with a directory as its place, and a program that is not known, are refused before anything is asked', () => {
  expect(() => checkTarget('warewulf', undefined)).toThrow(/--to warewulf: there are bifrost, metal3/)
  expect(() => checkTarget('maas', 'd/')).toThrow(/one file/)
})
