/** The fields that a request about a server needs, and the requests that they make. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { getJson, type Act, type Acts, type Change, type ImageList } from '../api.ts'
import { me } from '../state.ts'
import { Field, FieldError, textOf } from './dialog.tsx'

interface Steps {
  readonly steps: readonly {
    readonly interface: string
    readonly step: string
    readonly description: string
    readonly priorities: Readonly<Record<string, number>>
    readonly argsinfo: Readonly<Record<string, { readonly description: string; readonly required: boolean }>> | null
  }[]
}

const nodePathOf = ({ request }: Act): string => request.path.split('/').slice(0, 4).join('/')

function ImageField({ now }: { readonly now: string | null }) {
  const names = useSignal<readonly string[]>([])
  useEffect(() => {
    if (me.value?.project !== null) return
    // Without the list, the name is typed.
    getJson<ImageList>('/rackward/v1/images').then(
      ({ images }) => (names.value = images.flatMap((image) => image.names)),
      () => undefined,
    )
  }, [])
  return (
    <>
      <Field
        name="image"
        label="Image"
        value={now ?? ''}
        list="images"
        hint="The name of an image of the store, or a URL."
      />
      <datalist id="images">
        {names.value.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <Field name="checksum" label="Checksum" hint="SHA-256 or SHA-512, for an image from a URL." />
    </>
  )
}

function StepField({ act }: { readonly act: Act }) {
  const found = useSignal<Steps['steps']>([])
  const chosen = useSignal('')
  const problem = useSignal('')
  useEffect(() => {
    getJson<Steps>(`/rackward${nodePathOf(act)}/steps`).then(
      ({ steps }) => (found.value = steps.filter(({ priorities }) => priorities[act.name] !== undefined)),
      (error: Error) => (problem.value = error.message),
    )
  }, [act.name])
  const step = found.value.find((one) => `${one.interface}.${one.step}` === chosen.value)
  return (
    <>
      <div class="field">
        <label for="field-step">Step</label>
        <select id="field-step" name="step" onChange={(event) => (chosen.value = event.currentTarget.value)}>
          <option value="">Choose …</option>
          {found.value.map((one) => (
            <option key={`${one.interface}.${one.step}`}>{`${one.interface}.${one.step}`}</option>
          ))}
        </select>
        {step && <small>{step.description}</small>}
        {problem.value && <small class="problem">{problem.value}</small>}
      </div>
      {step?.argsinfo && (
        <Field
          name="args"
          label="Arguments (JSON)"
          hint={Object.entries(step.argsinfo)
            .map(([name, { description, required }]) => `${name}${required ? ', required' : ''}: ${description}`)
            .join('; ')}
        />
      )}
    </>
  )
}

export function ActFields({ act, imageSource }: { readonly act: Act; readonly imageSource: Acts['image_source'] }) {
  if (act.name === 'deploy' || act.name === 'rebuild') return <ImageField now={imageSource} />
  if (act.name === 'clean' || act.name === 'service') return <StepField act={act} />
  if (act.name === 'rescue') return <Field name="password" label="Password of the rescue system" secret />
  if (act.name === 'maintenance on')
    return <Field name="reason" label="Reason" hint="Others read it before they act on the node." />
  return null
}

/** Throws `FieldError` for a field that is not as it must be. */
export function changesOf(act: Act, data: FormData, imageSource: Acts['image_source']): Change[] {
  const { method, path, body } = act.request
  const request = (more: object): Change => ({ method, path, body: { ...body, ...more } })
  const text = (name: string) => textOf(data, name)
  if (act.name === 'deploy' || act.name === 'rebuild') {
    const image = text('image')
    const checksum = text('checksum')
    if (image === '') throw new FieldError('image', 'Image: name an image of the store, or a URL')
    const patch = [
      ...(image === imageSource ? [] : [{ op: 'add', path: '/instance_info/image_source', value: image }]),
      ...(checksum === '' ? [] : [{ op: 'add', path: '/instance_info/image_checksum', value: checksum }]),
    ]
    const first: Change[] = patch.length > 0 ? [{ method: 'PATCH', path: nodePathOf(act), body: patch }] : []
    return [...first, request({})]
  }
  if (act.name === 'clean' || act.name === 'service') {
    const [at, step] = text('step').split('.')
    if (!at || !step) throw new FieldError('step', 'Step: choose one')
    const args = argsOf(text('args'))
    return [request({ [`${act.name}_steps`]: [{ interface: at, step, ...(args ? { args } : {}) }] })]
  }
  if (act.name === 'rescue') {
    if (text('password') === '')
      throw new FieldError('password', 'Password: give one; you log in to the rescue system with it')
    return [request({ rescue_password: text('password') })]
  }
  if (act.name === 'maintenance on') return [request(text('reason') === '' ? {} : { reason: text('reason') })]
  return [request({})]
}

function argsOf(text: string): unknown {
  if (text === '') return undefined
  try {
    const args: unknown = JSON.parse(text)
    if (typeof args === 'object' && args !== null && !Array.isArray(args)) return args
  } catch {
    // Said below.
  }
  throw new FieldError('args', 'Arguments: give a JSON object, such as {"name": "value"}')
}
