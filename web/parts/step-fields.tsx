/** Steps of a clean, a deploy or a service, in the order in which they are carried out. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { getJson, type Act } from '../api.ts'
import { Choice, Field, FieldError, textOf } from './dialog.tsx'

interface Step {
  readonly interface: string
  readonly step: string
  readonly description: string
  readonly priorities: Readonly<Record<string, number>>
  readonly argsinfo: Readonly<Record<string, { readonly description: string; readonly required: boolean }>> | null
}

const MAX_STEPS = 20
const NONE = [['', 'Choose …']] as const

export const nodePathOf = ({ request }: Act): string => request.path.split('/').slice(0, 4).join('/')
const nameOf = (one: Step): string => `${one.interface}.${one.step}`

/** `least`: how many rows there are at first. */
export function StepFields({ act, kind, least }: { readonly act: Act; readonly kind: string; readonly least: number }) {
  const found = useSignal<readonly Step[]>([])
  const rows = useSignal(least)
  const problem = useSignal('')
  useEffect(() => {
    getJson<{ steps: readonly Step[] }>(`/rackward${nodePathOf(act)}/steps`).then(
      ({ steps }) => (found.value = steps.filter(({ priorities }) => priorities[kind] !== undefined)),
      (error: Error) => (problem.value = error.message),
    )
  }, [kind])
  return (
    <>
      {Array.from({ length: rows.value }, (_, i) => (
        <StepRow key={i} at={i} steps={found.value} />
      ))}
      {problem.value && <small class="problem">{problem.value}</small>}
      <div class="buttons">
        <button type="button" disabled={rows.value >= MAX_STEPS} onClick={() => (rows.value += 1)}>
          Add a step
        </button>
        {rows.value > least && (
          <button type="button" onClick={() => (rows.value -= 1)}>
            Remove the last step
          </button>
        )}
      </div>
    </>
  )
}

function StepRow({ at, steps }: { readonly at: number; readonly steps: readonly Step[] }) {
  const chosen = useSignal('')
  const step = steps.find((one) => nameOf(one) === chosen.value)
  return (
    <>
      <Choice
        name={`step-${at}`}
        label={at === 0 ? 'Step' : `Step ${at + 1}`}
        choices={[...NONE, ...steps.map((one) => [nameOf(one), nameOf(one)] as const)]}
        onChange={(value) => (chosen.value = value)}
      />
      {step && <small>{step.description}</small>}
      {step?.argsinfo && (
        <Field
          name={`args-${at}`}
          label={at === 0 ? 'Arguments (JSON)' : `Arguments ${at + 1} (JSON)`}
          hint={Object.entries(step.argsinfo)
            .map(([name, { description, required }]) => `${name}${required ? ', required' : ''}: ${description}`)
            .join('; ')}
        />
      )}
    </>
  )
}

/** The steps of the form. Throws `FieldError`. */
export function stepsOf(data: FormData, extra: object = {}): object[] {
  const rows = Array.from({ length: MAX_STEPS }, (_, i) => i).filter((i) => data.has(`step-${i}`))
  return rows.map((i) => {
    const [at, step] = textOf(data, `step-${i}`).split('.')
    if (!at || !step) throw new FieldError(`step-${i}`, `Step${i === 0 ? '' : ` ${i + 1}`}: choose one`)
    const args = objectOf(data, `args-${i}`, 'Arguments')
    return { interface: at, step, ...extra, ...(args ? { args } : {}) }
  })
}

/** A field that holds a JSON object; undefined: it is empty. Throws `FieldError`. */
export function objectOf(data: FormData, name: string, label: string): object | undefined {
  const text = textOf(data, name)
  if (text === '') return undefined
  let why = 'it is no object'
  try {
    const found: unknown = JSON.parse(text)
    if (typeof found === 'object' && found !== null && !Array.isArray(found)) return found
  } catch (error) {
    why = (error as Error).message
  }
  throw new FieldError(name, `${label}: give a JSON object, such as {"name": "value"} (${why})`)
}
