/** `rackward incident ...`: hosts that died, and what only a person can say of them. Asks a conductor or an arbiter:
 *  the paths are the same. */
import { incidentsText, incidentText } from './mesh-text.ts'
import type { OutputOptions } from './mesh.ts'
import type { Api } from './server.ts'
import { formatOf, print, said, show } from './show.ts'
import { CliError } from './error.ts'

const INCIDENTS = '/rackward/v1/incidents'

export class IncidentCommands {
  private readonly api: Api

  constructor(api: Api) {
    this.api = api
  }

  async list(options: OutputOptions): Promise<void> {
    const { incidents } = await this.api.ask('GET', INCIDENTS)
    await show(incidents, formatOf(options.output), () => incidentsText(incidents))
  }

  async show(id: string, options: OutputOptions): Promise<void> {
    const incident = await this.api.ask('GET', pathOf(id))
    await show(incident, formatOf(options.output), () => incidentText(incident))
  }

  async request(kind: 'attest' | 'retry' | 'close', id: string, options: { confirm?: string }): Promise<void> {
    const { host } = await this.api.ask('GET', pathOf(id))
    if (kind === 'attest' && options.confirm !== host)
      throw new CliError(
        'usage',
        `you attest that ${said(host)} is off and stays off; if it is not, its instances run twice. Go and look, then say --confirm ${said(host)}`,
      )
    await this.api.ask('POST', `${pathOf(id)}/${kind}`, kind === 'attest' ? { host } : {})
    print(`${kind}: the leader carries it out; see rackward incident show ${id}`)
  }
}

const pathOf = (id: string) => `${INCIDENTS}/${encodeURIComponent(id)}`
