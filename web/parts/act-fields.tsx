/** The fields that a request about a server needs, and the requests that they make. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { getJson, type Act, type Acts, type Change } from '../api.ts'
import { deployChanges, DeployFields } from './deploy-fields.tsx'
import { Choice, Field, FieldError, textOf } from './dialog.tsx'
import { StepFields, stepsOf } from './step-fields.tsx'

function BootDeviceFields({ act }: { readonly act: Act }) {
  const devices = useSignal<readonly string[]>([])
  useEffect(() => {
    getJson<{ supported_boot_devices: readonly string[] }>(`${act.request.path}/supported`).then(
      (found) => (devices.value = found.supported_boot_devices),
      () => undefined,
    )
  }, [])
  return (
    <>
      <Choice name="device" label="Device" choices={devices.value.map((one) => [one, one] as const)} />
      <Choice
        name="persistent"
        label="For"
        choices={[
          ['no', 'the next start'],
          ['yes', 'every start'],
        ]}
      />
    </>
  )
}

export function ActFields({ act, list }: { readonly act: Act; readonly list: Acts }) {
  if (act.name === 'deploy' || act.name === 'rebuild') return <DeployFields act={act} list={list} />
  if (act.name === 'clean' || act.name === 'service') return <StepFields act={act} kind={act.name} least={1} />
  if (act.name === 'rescue') return <Field name="password" label="Password of the rescue system" secret />
  if (act.name === 'maintenance on' || act.name === 'retire')
    return <Field name="reason" label="Reason" hint="Others read it before they act on the node." />
  if (act.name === 'boot device') return <BootDeviceFields act={act} />
  return null
}

/** Throws `FieldError` for a field that is not as it must be. */
export function changesOf(act: Act, data: FormData, list: Acts): Change[] {
  const { method, path, body } = act.request
  const request = (more: object): Change => ({ method, path, body: { ...body, ...more } })
  const text = (name: string) => textOf(data, name)
  if (act.name === 'deploy' || act.name === 'rebuild') return deployChanges(act, data, list)
  if (act.name === 'clean' || act.name === 'service') return [request({ [`${act.name}_steps`]: stepsOf(data) })]
  if (act.name === 'rescue') {
    // As it was typed: the rescue system takes it with its blanks.
    const password = data.get('password')
    if (typeof password !== 'string' || password === '')
      throw new FieldError('password', 'Password: give one; you log in to the rescue system with it')
    return [request({ rescue_password: password })]
  }
  if (act.name === 'maintenance on') return [request(text('reason') === '' ? {} : { reason: text('reason') })]
  if (act.name === 'boot device') {
    if (text('device') === '') throw new FieldError('device', 'Device: choose one')
    return [request({ boot_device: text('device'), persistent: text('persistent') === 'yes' })]
  }
  if (!Array.isArray(body)) return [request({})]
  const reason = act.name === 'retire' && text('reason') !== '' ? [reasonPatch(text('reason'))] : []
  return [{ method, path, body: [...body, ...reason] }]
}

const reasonPatch = (value: string) => ({ op: 'add', path: '/retired_reason', value })
