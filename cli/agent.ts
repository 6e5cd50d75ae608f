/** `rackward agent`: reads the configuration, starts, stops on a signal. */
import { startAgent } from '../host-agent/agent.ts'
import { loadAgentConfig } from '../host-agent/config.ts'
import { makeLog } from '../kit/log.ts'

export async function runAgent(options: { config: string; checkConfig?: boolean }): Promise<void> {
  const config = await loadAgentConfig(options.config)
  if (options.checkConfig) {
    process.stdout.write(`${options.config} is acceptable: ${config.role} ${config.name}\n`)
    return
  }
  const log = makeLog('agent', config.log.level)
  const end = (why: string) => {
    log.error(`the agent ends: ${why}`)
    process.exit(1)
  }
  const agent = await startAgent(config, { log, onEnd: end })
  let stopping = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (stopping) process.exit(1)
      stopping = true
      agent.stop().then(
        () => process.exit(0),
        (error: Error) => {
          log.error({ err: error }, 'stopping')
          process.exit(1)
        },
      )
    })
}
