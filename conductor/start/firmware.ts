/** The server that BMCs fetch firmware from, where one is configured. */
import { FirmwareServer } from '../firmware/server.ts'
import type { Context } from './context.ts'
import type { Monitoring } from './monitoring.ts'

export async function startFirmwareServer(
  { config, life, clock }: Context,
  { onLimit }: Pick<Monitoring, 'onLimit'>,
): Promise<FirmwareServer | undefined> {
  if (!config.firmware) return undefined
  const server = new FirmwareServer({
    listen: config.firmware.listen,
    connections: config.limits.hardware.firmwareConnections,
    clock,
    onRefused: () => onLimit('hardware.firmwareConnections', {}),
  })
  await life.add(
    'firmware server',
    () => server.open(),
    () => server.close(),
  )
  return server
}
