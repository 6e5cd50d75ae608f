/** What arbiters are given of a Redfish BMC: what they need to reach it, with the key that the conductor pinned, and
 *  nothing else. */
import { generateKeyPairSync } from 'node:crypto'
import { expect, test } from 'vitest'
import { aboutBmc } from '../../conductor/bmc/info.ts'
import { BmcCredentials } from '../../conductor/mesh/credentials.ts'
import type { MeshLink, MeshRegistry } from '../../conductor/mesh/link.ts'
import { newNode } from '../../conductor/node/record.ts'
import { systemClock } from '../../kit/clock.ts'
import { openBox } from '../../kit/sealed-box.ts'

const PIN = 'A'.repeat(43).concat('=')

test.each(['redfish', 'idrac'])('driver %s', async (driver) => {
  const { privateKey, publicKey } = generateKeyPairSync('x25519')
  const text = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64')
  let sealed: Record<string, string> = {}
  const request = async (_method: string, _path: string, { body }: { body: { sealed: Record<string, string> } }) => {
    sealed = body.sealed
    return { status: 200, body: {} }
  }
  const registry = {
    hosts: [{ name: 'h1', node: null, bmc_sealed: false }],
    arbiters: [{ name: 'a1', public_key: text }],
  } as unknown as MeshRegistry
  const node = {
    ...newNode({ uuid: 'u', driver }, 0),
    name: 'h1',
    driverInfo: {
      redfish_address: 'https://192.0.2.1',
      redfish_username: 'rackward',
      redfish_password: 'rack-secret',
      deploy_kernel: 'http://192.0.2.2/kernel',
    },
    bmc: { origin: 'https://192.0.2.1', tlsPin: PIN },
  }
  expect(await new BmcCredentials({ request } as unknown as MeshLink, systemClock).share(registry, [node])).toEqual([
    'h1',
  ])
  expect(JSON.parse(openBox(privateKey, sealed.a1 as string, aboutBmc('h1', 'a1')))).toEqual({
    redfish_address: 'https://192.0.2.1',
    redfish_username: 'rackward',
    redfish_password: 'rack-secret',
    rackward_tls_pin: PIN,
  })
})
