/** Firmware through the UpdateService: versions, the order of an update, and a BMC that comes back from its own
 *  update. */
import { Fault, isFault } from '../../../kit/fault.ts'
import type { KnownIdentity, Updates } from '../parts/updates.ts'
import type { Dict } from './client.ts'
import { firmwareInventory } from './firmware-inventory.ts'
import { orderUpdate } from './firmware-order.ts'
import type { AtSystem, PowerParts } from './power.ts'
import { readSystem, uuidOf } from './system.ts'

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value.slice(0, 255) : null)

export const redfishUpdates = (at: AtSystem): Updates => ({
  identity: (signal) =>
    at(signal, async ({ client, path }) => identityOf((await readSystem(client, path, signal)).body)),
  inventory: (signal) => at(signal, (parts) => firmwareInventory(parts, signal)),
  update: (order, signal) => at(signal, ({ client }) => orderUpdate(client, order, signal)),
  reconnect: (known, signal) => at(signal, (parts) => reconnect(parts, known, signal)),
})

const identityOf = (body: Dict): KnownIdentity => ({ uuid: uuidOf(body), serialNumber: text(body.SerialNumber) })

/** Another key is kept only when the system behind it is the known one: an update of the BMC makes a new
 *  certificate. */
async function reconnect(
  { client, path }: PowerParts,
  known: KnownIdentity | null,
  signal: AbortSignal,
): Promise<string | null> {
  const read = async () => identityOf((await readSystem(client, path, signal)).body)
  client.reopen('same key')
  try {
    await read()
    return null
  } catch (error) {
    if (!isFault(error, 'bmc.identity') || known === null) throw error
    client.reopen('any key')
    const seen = await read().catch((why: unknown) => {
      client.reopen('former key')
      throw why
    })
    if (known.uuid !== null && seen.uuid === known.uuid && seen.serialNumber === known.serialNumber)
      return client.wire.pin
    client.reopen('former key')
    throw new Fault(
      'bmc.identity',
      `the BMC came back with another key, and the system behind it is ${seen.uuid} instead of ${known.uuid}`,
      { cause: error },
    )
  }
}
