/** `rackward agent`: reads the configuration, starts, stops on a signal. */
import { startAgent } from '../host-agent/agent.ts'
import { loadAgentConfig } from '../host-agent/config.ts'
import { makeLog } from '../kit/log.ts'
import { serve } from './daemon.ts'

export async function runAgent(options: { config: string; checkConfig?: boolean }): Promise<void> {
  const config = await loadAgentConfig(options.config)
  if (options.checkConfig) {
    process.stdout.write(`${options.config} is acceptable: ${config.role} ${config.name}\n`)
    return
  }
  const log = makeLog('agent', config.log)
  const end = (why: string) => {
    log.error(`the agent ends: ${why}`)
    process.exit(1)
  }
  const agent = await startAgent(config, { log, onEnd: end })
  await serve({ status: `${config.role} ${config.name}`, stop: () => agent.stop(), alive: async () => true, log })
}
