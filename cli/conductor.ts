/** `rackward conductor`: reads the configuration, starts, stops on a signal. */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BOOT_NODE_ARGS } from '../conductor/boot/young-generation.ts'
import { startConductor } from '../conductor/conductor.ts'
import { devConfig, loadConfig, type Config } from '../conductor/config.ts'
import { Fault } from '../kit/fault.ts'
import { makeLog } from '../kit/log.ts'
import { isRunning, launch } from '../kit/run.ts'
import { quietSockopt, serve } from './daemon.ts'
import { CliError } from './error.ts'

export interface ConductorOptions {
  readonly config?: string
  readonly dev?: boolean
  readonly port: string
  readonly data?: string
  readonly checkConfig?: boolean
}

export async function runConductor(options: ConductorOptions): Promise<void> {
  quietSockopt()
  const config = await configOf(options)
  if (options.checkConfig) return void process.stdout.write(`${options.config} is acceptable\n`)
  const log = makeLog('conductor', config.log)
  const main = fileURLToPath(new URL('./main.js', import.meta.url))
  const launchBoot = () => {
    const pid = launch([process.execPath, ...BOOT_NODE_ARGS, main, 'boot', '--config', options.config ?? ''])
    return { running: () => isRunning(pid) }
  }
  const conductor = await startConductor(config, {
    log,
    launchBoot,
    uiDirectory: fileURLToPath(new URL('./ui/', import.meta.url)),
  })
  if (options.dev) {
    process.stdout.write(
      `Rackward, development mode: fake hardware, no authentication, no DHCP\n  data:  ${config.data}\n  see:   ${conductor.addresses[0]}/ui/\n  try:   curl ${conductor.addresses[0]}/v1/nodes\n`,
    )
  }
  await serve({
    status: conductor.addresses.join(', '),
    stop: () => conductor.stop(),
    alive: () => conductor.alive(),
    log,
  })
}

async function configOf(options: ConductorOptions): Promise<Config> {
  if (options.dev) {
    const port = Number(options.port)
    if (!Number.isInteger(port) || port < 0 || port > 65535)
      throw new Fault('input.invalid', `--port: ${JSON.stringify(options.port)} is not a port`)
    return devConfig({ port, data: options.data ?? (await mkdtemp(join(tmpdir(), 'rackward-dev-'))) })
  }
  if (!options.config) throw new CliError('usage', 'give --config FILE, or --dev to try the API')
  return loadConfig(options.config)
}
