/** UEFI HTTP boot through ComputerSystem.Boot: the target UefiHttp with its HttpBootUri, once, and read back. */
import { Fault } from '../../../kit/fault.ts'
import { isDict, type Dict, type RedfishClient } from './client.ts'
import { faultOf } from './messages.ts'
import { readSystem, valuesOf } from './system.ts'

const TARGET = 'BootSourceOverrideTarget'

export async function bootOnceByHttp(
  { client, path }: { readonly client: RedfishClient; readonly path: string },
  url: string,
  signal: AbortSignal,
): Promise<void> {
  const system = await readSystem(client, path, signal)
  const boot: Dict = isDict(system.body.Boot) ? system.body.Boot : {}
  const allowed = valuesOf(boot[`${TARGET}@Redfish.AllowableValues`])
  if (allowed !== null && !allowed.includes('UefiHttp'))
    throw new Fault('node.unsupported', `the BMC offers no UEFI HTTP boot; it has ${allowed.join(', ')}`)

  const mode = 'BootSourceOverrideMode'
  const wanted: Dict = {
    [TARGET]: 'UefiHttp',
    BootSourceOverrideEnabled: 'Once',
    HttpBootUri: url,
    // It is a way of UEFI; where the mode is not shown, it cannot be set either.
    ...(boot[mode] === undefined || boot[mode] === 'UEFI' ? {} : { [mode]: 'UEFI' }),
  }
  const refusal = await client.patch(system, { Boot: wanted }, signal)
  const { body } = await readSystem(client, path, signal)
  const now: Dict = isDict(body.Boot) ? body.Boot : {}
  if (Object.entries(wanted).every(([key, value]) => now[key] === value)) return
  if (refusal)
    throw new Fault('bmc.refused', faultOf(refusal, `UEFI HTTP boot of ${path}`).detail.replaceAll(url, '(the image)'))
  throw new Fault('bmc.unproven', `the BMC took the UEFI HTTP boot of ${path} and does not show it`)
}
