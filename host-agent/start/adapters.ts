/** Configuration -> the parts of an agent: driver, guests, power. */
import { readFile } from 'node:fs/promises'
import type { Clock } from '../../kit/clock.ts'
import { systemClock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import type { Run } from '../../kit/run.ts'
import { readSecret } from '../../kit/webhook.ts'
import type { AgentConfig } from '../config.ts'
import { CommandDriver } from '../adapters/instances/command.ts'
import { DomainStore } from '../adapters/instances/domains.ts'
import { http } from '../../kit/http.ts'
import { Keystone } from '../adapters/instances/keystone.ts'
import { freeMemory, LibvirtDriver } from '../adapters/instances/libvirt.ts'
import { KubernetesDriver } from '../adapters/instances/kubernetes.ts'
import type { KubernetesAccess } from '../adapters/instances/kubernetes-api.ts'
import { noDriver } from '../adapters/instances/none.ts'
import { NovaDriver } from '../adapters/instances/nova.ts'
import type { Driver } from '../adapters/instances/driver.ts'
import { ConductorPower, DirectPower, EitherPower, fileSource, type BmcSource, type Power } from '../adapters/bmc.ts'
import { CommandGuests, LibvirtGuests, noGuests, type Guests } from '../guard/guests.ts'

export async function driverOf({ driver }: AgentConfig, parts: { run: Run }): Promise<Driver> {
  switch (driver.kind) {
    case 'none':
      return noDriver
    case 'command':
      return new CommandDriver(driver.argv, parts.run)
    case 'libvirt':
      return new LibvirtDriver(
        { uri: driver.uri, freeMb: freeMemory(parts.run, driver.uri) },
        { store: new DomainStore(driver.directory), run: parts.run },
      )
    case 'nova': {
      const { passwordFile, caFile, sharedDisks, kind: _, ...at } = driver
      const ca = caFile === undefined ? undefined : await readFile(caFile, 'utf8')
      const password = await readSecret(passwordFile, 'driver.passwordFile')
      const keystone = new Keystone(
        { ...at, region: at.region, computeUrl: at.computeUrl, password, ca },
        { http, wall: () => systemClock.now() },
      )
      return new NovaDriver(keystone, { sharedDisks })
    }
    case 'kubernetes':
      return new KubernetesDriver(await kubernetesAccess(driver), http)
  }
}

export type KubernetesConfig = Extract<AgentConfig['driver'], { kind: 'kubernetes' }>

export async function kubernetesAccess(driver: KubernetesConfig): Promise<KubernetesAccess> {
  const { server, caFile, certFile, keyFile, tokenFile } = driver
  const token = async () => (tokenFile === undefined ? undefined : readSecret(tokenFile, 'driver.tokenFile'))
  // A file that is missing is told at the start, and not when a host has died.
  await token()
  return {
    server,
    ca: caFile === undefined ? undefined : await readFile(caFile, 'utf8'),
    cert: certFile === undefined ? undefined : await readFile(certFile, 'utf8'),
    key: keyFile === undefined ? undefined : await readSecret(keyFile, 'driver.keyFile'),
    token,
  }
}

export function guestsOf({ guests, name }: AgentConfig, parts: { run: Run; log: Log }): Guests {
  switch (guests.kind) {
    case 'none':
      return noGuests
    case 'command':
      return new CommandGuests({ count: guests.count, stop: guests.stop, onOpen: guests.onOpen }, parts.run)
    case 'libvirt':
      return new LibvirtGuests(
        { uri: guests.uri, host: name, shared: guests.shared },
        { ...parts, store: new DomainStore(guests.directory) },
      )
  }
}

/** The conductor first; directly when it is away: by a file, or by what it sealed for this arbiter. */
export async function powerOf(
  { bmc }: AgentConfig,
  parts: { run: Run; clock: Clock; sealed: BmcSource },
): Promise<Power> {
  const ways: Power[] = []
  if (bmc.conductor) {
    const { url, username, passwordFile, caFile } = bmc.conductor
    const password = passwordFile === undefined ? '' : await readSecret(passwordFile, 'bmc.conductor.passwordFile')
    const authorization =
      username === undefined ? undefined : `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
    ways.push(
      new ConductorPower({ url, authorization, ca: caFile === undefined ? undefined : await readFile(caFile, 'utf8') }),
    )
  }
  const sources = [...(bmc.directFile ? [fileSource(bmc.directFile)] : []), parts.sealed]
  ways.push(new DirectPower(sources, { ...parts, ipmiClient: bmc.ipmiClient }))
  return new EitherPower(ways)
}
