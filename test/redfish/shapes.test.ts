/** Trees and answers that the standard allows and vendors use, and that our own virtual BMC has not: absolute links,
 *  pages, redirections, compression, later changes, missing parts. Each must end as the plain form does. */
import type { ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import { afterEach, expect, test } from 'vitest'
import { Redfish } from '../../conductor/bmc/redfish/redfish.ts'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { systemClock } from '../../kit/clock.ts'
import { at, members, StaticService, SYSTEM, type Body } from './static-service.ts'

const ROOT = '/redfish/v1'
const RESET = `${SYSTEM}/Actions/ComputerSystem.Reset`
const BOOT = {
  BootSourceOverrideTarget: 'None',
  BootSourceOverrideEnabled: 'Disabled',
  BootSourceOverrideMode: 'UEFI',
}
const system = (more: Body = {}): Body => ({
  '@odata.type': '#ComputerSystem.v1_13_0.ComputerSystem',
  '@odata.id': SYSTEM,
  PowerState: 'Off',
  Boot: BOOT,
  Actions: { '#ComputerSystem.Reset': { target: RESET } },
  ...more,
})

let service: StaticService
let bmc: Redfish
afterEach(async () => {
  await bmc?.close()
  await service?.stop()
})
/** What was sent by hand. */
const done = (...sent: ServerResponse[]): 'answered' => {
  if (sent.length !== 1) throw new Error('one answer')
  return 'answered'
}
const life = () => AbortSignal.timeout(20_000)
async function open(resources: Record<string, Body> = {}, more: Record<string, unknown> = {}) {
  service = await StaticService.start({ [SYSTEM]: system(), ...resources })
  bmc = new Redfish(redfishInfo({ ...service.driverInfo(), ...more }), systemClock)
  return service
}
/** Switches on, as an ordinary service does. */
const obeys = ({ method, path, body }: { method: string; path: string; body: Body }) => {
  if (method !== 'POST' || path !== RESET) return undefined
  service.resources[SYSTEM] = { ...service.resources[SYSTEM], PowerState: body.ResetType === 'On' ? 'On' : 'Off' }
  return { status: 204 }
}
const on = async () => {
  await bmc.setPower('on', life())
  expect(await bmc.power(life())).toBe('on')
}

test('links and targets are whole URLs of a host that is not this one: their paths count, and nobody else is asked', async () => {
  const whole = (path: string) => `https://bmc-7.internal.example${path}`
  await open({
    [ROOT]: { RedfishVersion: '1.6.0', Systems: at(whole(`${ROOT}/Systems/`)) },
    [`${ROOT}/Systems`]: { Members: [at(whole(SYSTEM))] },
    [SYSTEM]: system({
      Actions: {
        '#ComputerSystem.Reset': { target: whole(RESET), '@Redfish.ActionInfo': whole(`${SYSTEM}/ResetInfo`) },
      },
    }),
    [`${SYSTEM}/ResetInfo`]: { Parameters: [{ Name: 'ResetType', AllowableValues: ['On', 'ForceOff'] }] },
  })
  service.handle = obeys
  await on()
})

test('a list in pages is read to its end, and one whose pages lead in a circle too', async () => {
  const [one, two] = [`${ROOT}/Systems?page=2`, `${ROOT}/Systems?page=3`]
  await open({
    [`${ROOT}/Systems`]: { Members: [], 'Members@odata.count': 1, 'Members@odata.nextLink': one },
    [one]: { Members: [], 'Members@odata.nextLink': two },
    [two]: { Members: [at(SYSTEM)], 'Members@odata.nextLink': one },
  })
  service.handle = obeys
  await on()
})

test('a page with more entries than a function takes arguments is read as any other', async () => {
  const next = `${ROOT}/Systems?page=2`
  await open({
    [`${ROOT}/Systems`]: { Members: [], 'Members@odata.nextLink': next },
    [next]: { Members: [at(SYSTEM), ...Array.from({ length: 1_000_000 }, () => 0)] },
  })
  service.handle = obeys
  await on()
})

test('several systems over two pages are several, and the fault names both', async () => {
  await open({
    [`${ROOT}/Systems`]: { Members: [at(SYSTEM)], 'Members@odata.nextLink': `${ROOT}/Systems?$skip=1` },
    [`${ROOT}/Systems?$skip=1`]: { Members: [at(`${ROOT}/Systems/HGX_Baseboard_0`)] },
  })
  await expect(bmc.power(life())).rejects.toMatchObject({
    code: 'bmc.config',
    detail: expect.stringMatching(/Systems\/1, .*HGX_Baseboard_0/),
  })
})

test('redirections on the same host are followed: of reads with every status, of orders with 307 and 308', async () => {
  await open()
  service.handle = (order, response) => {
    const to = (status: number, location: string) => done(response.writeHead(status, { location }).end())
    if (order.method === 'GET' && order.url === `${ROOT}/`) return to(301, ROOT)
    if (order.method === 'GET' && order.url === SYSTEM) return to(302, `${service.origin}${SYSTEM}/`)
    if (order.method === 'POST' && order.url === RESET) return to(308, `${RESET}/`)
    return obeys(order)
  }
  await on()
})

test.each([
  ['another host', 'https://198.51.100.1/redfish/v1/Systems/1'],
  ['TLS at the same address', 'https://127.0.0.1/redfish/v1/Systems/1'],
])('a redirection to %s is refused, and says what to configure', async (_, location) => {
  await open()
  service.handle = ({ path }, response) =>
    path === SYSTEM ? done(response.writeHead(307, { location }).end()) : undefined
  await expect(bmc.power(life())).rejects.toMatchObject({
    code: 'bmc.refused',
    detail: expect.stringMatching(/redirects to another address \(https:.*redfish_address/),
  })
})

test('redirections in a circle end', async () => {
  await open()
  service.handle = ({ path }, response) =>
    path === SYSTEM ? done(response.writeHead(301, { location: SYSTEM }).end()) : undefined
  await expect(bmc.power(life())).rejects.toMatchObject({ code: 'bmc.refused' })
  expect(service.heard.length).toBeLessThan(10)
})

test('a body is read that is compressed although nobody asked, after a 406, or begins with a byte order mark', async () => {
  await open()
  let form: 'gzip' | '406' | 'mark' = 'gzip'
  service.handle = ({ path, headers }, response) => {
    if (path !== SYSTEM) return undefined
    const text = JSON.stringify(service.resources[SYSTEM])
    if (form === 'mark') return done(response.end(`\uFEFF${text}`))
    if (form === '406' && headers['accept-encoding'] !== 'gzip') return { status: 406 }
    return done(response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(text)))
  }
  for (form of ['gzip', '406', 'mark'] as const) expect(await bmc.power(life())).toBe('off')
})

test('a small answer that inflates without end is refused', async () => {
  await open()
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))
  service.handle = ({ path }, response) =>
    path === SYSTEM ? done(response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb)) : undefined
  await expect(bmc.power(life())).rejects.toMatchObject({
    code: 'bmc.refused',
    detail: expect.stringContaining('more than'),
  })
})

const patched = (body: Body) => {
  const known = service.resources[SYSTEM] as Body
  service.resources[SYSTEM] = { ...known, Boot: { ...(known.Boot as Body), ...(body.Boot as Body) } }
}

test('a boot override that is accepted for later (202) is waited for, and sent once', async () => {
  await open()
  let orders = 0
  service.handle = ({ method, path, body }) => {
    if (method !== 'PATCH' || path !== SYSTEM) return undefined
    orders += 1
    setTimeout(() => patched(body), 2_500)
    return { status: 202, body: { '@odata.id': `${ROOT}/TaskService/Tasks/1`, '@odata.type': '#Task.v1_4_0.Task' } }
  }
  await bmc.setBootDevice({ device: 'pxe', once: true, efi: true }, life())
  expect([orders, await bmc.bootDevice(life())]).toEqual([1, { device: 'pxe', persistent: false }])
})

test('Supermicro shows a UEFI network boot as UefiBootNext', async () => {
  await open()
  service.handle = ({ method, body }) => {
    if (method !== 'PATCH') return undefined
    patched({ Boot: { ...(body.Boot as Body), BootSourceOverrideTarget: 'UefiBootNext' } })
    return { status: 200, body: {} }
  }
  await bmc.setBootDevice({ device: 'pxe', once: true, efi: true }, life())
  // A local disk is not meant by it.
  await expect(bmc.setBootDevice({ device: 'disk', once: true, efi: true }, life())).rejects.toMatchObject({
    code: 'bmc.unproven',
  })
})

test('a mode that is demanded and not shown is sent', async () => {
  const { BootSourceOverrideMode: _, ...shown } = BOOT
  await open({ [SYSTEM]: system({ Boot: shown }) })
  service.handle = ({ method, body }) => {
    if (method !== 'PATCH') return undefined
    const boot = body.Boot as Body
    const message = { MessageId: 'Base.1.0.PropertyMissing', MessageArgs: ['BootSourceOverrideMode'] }
    if (boot.BootSourceOverrideMode !== 'UEFI')
      return { status: 400, body: { error: { '@Message.ExtendedInfo': [message] } } }
    patched(body)
    return { status: 204 }
  }
  await bmc.setBootDevice({ device: 'cdrom', once: true, efi: true }, life())
})

test('an action that wants any If-Match gets it once; others never see one', async () => {
  await open()
  service.handle = (order) => {
    if (order.method !== 'POST') return undefined
    return order.headers['if-match'] === '*' ? obeys(order) : { status: 428 }
  }
  await on()
  const sent = service.heard.filter(({ method }) => method === 'POST').map(({ headers }) => headers['if-match'])
  expect(sent).toEqual([undefined, '*'])
})

test('a session that has ended is opened again where the BMC says so by 403 NoValidSession', async () => {
  await open({}, { redfish_auth_type: 'session' })
  let tokens = 0
  service.handle = ({ method, path, headers }, response) => {
    if (method === 'POST' && path === `${ROOT}/SessionService/Sessions`) {
      tokens += 1
      return done(response.writeHead(201, { 'X-AUTH-TOKEN': `t${tokens}` }).end('{}'))
    }
    const message = { MessageId: 'Base.1.8.NoValidSession', Message: 'There is no valid session.' }
    if (path === SYSTEM && headers['x-auth-token'] === 't1' && tokens === 1 && service.heard.length > 4)
      return { status: 403, body: { error: { '@Message.ExtendedInfo': message } } }
    return undefined
  }
  for (let i = 0; i < 4; i += 1) expect(await bmc.power(life())).toBe('off')
  expect(tokens).toBe(2)
})

test('firmware is listed without what the BMC does not give: a manager, cards, members that are gone', async () => {
  const list = `${ROOT}/UpdateService/FirmwareInventory`
  await open({
    [ROOT]: { RedfishVersion: '1.6.0', Systems: at(`${ROOT}/Systems`), UpdateService: at(`${ROOT}/UpdateService`) },
    [`${ROOT}/UpdateService`]: { FirmwareInventory: at(list) },
    [list]: { Members: [at(`${list}/gone`)], 'Members@odata.nextLink': `${list}?2` },
    [`${list}?2`]: { Members: [at(`${list}/b`)] },
    [`${list}/b`]: { ...at(`${list}/b`), Id: 'b', Name: 'System', RelatedItem: [at(`${SYSTEM.toUpperCase()}/`)] },
    [SYSTEM]: system({ BiosVersion: '7', Links: { ManagedBy: null, Chassis: [at(`${ROOT}/Chassis/gone`)] } }),
  })
  expect(await bmc.updates.inventory(life())).toMatchObject([{ component: 'bios', version: '7', target: `${list}/b` }])
})

test('drives are found at the second manager, and one that cannot be read is left out', async () => {
  const [first, second] = [`${ROOT}/Managers/1`, `${ROOT}/Managers/2`]
  const media = `${second}/VirtualMedia`
  await open({
    [SYSTEM]: system({ Links: { ManagedBy: [at(first), at(second)] } }),
    [first]: { Id: '1' },
    [second]: { VirtualMedia: at(media) },
    [media]: members([`${media}/vKVM`, `${media}/Cd`]),
    [`${media}/Cd`]: { ...at(`${media}/Cd`), Id: 'Cd', MediaTypes: ['CD'], Inserted: false },
  })
  service.handle = ({ path }) => (path === `${media}/vKVM` ? { status: 400, body: {} } : undefined)
  expect((await bmc.media.slots(life())).map(({ id }) => id)).toEqual(['Cd'])
})
