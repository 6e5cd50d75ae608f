/** `rackward conductor`: reads the configuration, starts, stops on a signal. */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startConductor } from '../conductor/conductor.ts'
import { devConfig, loadConfig, type Config } from '../conductor/config.ts'
import { Fault } from '../kit/fault.ts'
import { makeLog } from '../kit/log.ts'
import { launch } from '../kit/run.ts'

export async function runConductor(options: { config?: string; dev?: boolean; port: string; data?: string }): Promise<void> {
  const config = await configOf(options)
  const log = makeLog('conductor', config.log.level)
  const main = fileURLToPath(new URL('./main.js', import.meta.url))
  const launchBoot = () => void launch([process.execPath, main, 'boot', '--config', options.config ?? ''])
  const conductor = await startConductor(config, { log, launchBoot })
  if (options.dev) {
    process.stdout.write(
      `Rackward, development mode: fake hardware, no authentication, no DHCP\n  data:  ${config.data}\n  try:   curl ${conductor.addresses[0]}/v1/nodes\n`,
    )
  }
  let stopping = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stopping) process.exit(1)
      stopping = true
      conductor.stop().then(
        () => process.exit(0),
        (error: Error) => {
          log.error({ err: error }, 'stopping')
          process.exit(1)
        },
      )
    })
  }
}

async function configOf(options: { config?: string; dev?: boolean; port: string; data?: string }): Promise<Config> {
  if (options.dev) {
    const port = Number(options.port)
    if (!Number.isInteger(port) || port < 0 || port > 65535) throw new Fault('input.invalid', `--port: ${JSON.stringify(options.port)} is not a port`)
    return devConfig({ port, data: options.data ?? (await mkdtemp(join(tmpdir(), 'rackward-dev-'))) })
  }
  if (!options.config) throw new Fault('input.missing', 'give --config FILE, or --dev to try the API')
  return loadConfig(options.config)
}
