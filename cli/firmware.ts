/** `rackward node firmware`: shows versions of firmware as they were read last, or orders an update. */
import { driftLines, order, type StepOptions } from './bios.ts'
import { CliError } from './error.ts'
import { connect, enc } from './nodes.ts'
import { formatOf, show, tableOf } from './show.ts'

interface Component {
  readonly component: string
  readonly initial_version: string | null
  readonly current_version: string | null
  readonly last_version_flashed: string | null
}

interface FirmwareOptions extends StepOptions {
  readonly checksum?: string
}

export async function firmware(
  ident: string,
  { action, component, url }: Readonly<Record<'action' | 'component' | 'url', string | undefined>>,
  options: FirmwareOptions,
): Promise<void> {
  const api = await connect(options)
  if (action === 'update') {
    if (!component || !url)
      throw new CliError('usage', 'firmware update takes a component (bios, bmc, nic:SERIAL) and a URL')
    const setting = { component, url, ...(options.checksum ? { checksum: options.checksum } : {}) }
    return order(
      api,
      { ident, step: { interface: 'firmware', step: 'update', args: { settings: [setting] } } },
      options,
    )
  }
  if (action !== undefined) throw new CliError('usage', `firmware takes update, not ${action}`)
  const { firmware: list } = (await api.ask('GET', `/v1/nodes/${enc(ident)}/firmware`)) as { firmware: Component[] }
  const drift = await driftLines(api, ident, 'firmware')
  await show(list, formatOf(options.output), () =>
    list.length === 0
      ? 'no firmware was read of this node; the verb manage reads it'
      : [
          tableOf(
            ['component', 'version', 'at first', 'installed by us'],
            list.map((one) => [
              one.component,
              one.current_version ?? '',
              one.initial_version ?? '',
              one.last_version_flashed ?? '',
            ]),
          ),
          ...drift,
        ].join('\n'),
  )
}
