/** Asks before a change: what it does, the fields that it needs, and the answer of the conductor, also a late one or a
 *  refusal, where it was asked for. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { ApiError } from '../api.ts'
import { nowMs } from '../browser.ts'
import { duration } from '../format.ts'
import { tick } from '../state.ts'

/** A field that is not as it must be: the form shows it at the field. */
export class FieldError extends Error {
  readonly field: string

  constructor(field: string, message: string) {
    super(message)
    this.field = field
  }
}

interface AskProps {
  readonly title: string
  /** The label of the button that does it. */
  readonly verb: string
  readonly danger: boolean
  readonly children: ComponentChildren
  /** Throws `FieldError`, and what the conductor refuses. */
  readonly act: (data: FormData) => Promise<void>
  readonly onClose: (done: boolean) => void
  readonly onRefused?: (error: ApiError) => void
}

export function Ask({ title, verb, danger, children, act, onClose, onRefused }: AskProps) {
  const box = useRef<HTMLDialogElement>(null)
  const sentMs = useSignal(0)
  const problem = useSignal<Error | null>(null)
  const isOver = useRef(false)
  /** Once: what is answered after it was left closes no other dialog. */
  const end = (done: boolean) => {
    if (isOver.current) return
    isOver.current = true
    onClose(done)
  }
  useEffect(() => {
    box.current?.showModal()
    return () => void (isOver.current = true)
  }, [])
  const submit = async (form: HTMLFormElement) => {
    if (sentMs.value > 0) return
    sentMs.value = nowMs()
    problem.value = null
    try {
      await act(new FormData(form))
      end(true)
    } catch (error) {
      problem.value = error as Error
      markField(form, error as Error)
      if (error instanceof ApiError) onRefused?.(error)
    } finally {
      sentMs.value = 0
    }
  }
  const waitedS = (tick.value - sentMs.value) / 1000
  return (
    <dialog
      ref={box}
      class="card ask"
      aria-labelledby="ask-title"
      // What was sent cannot be taken back: its answer is waited for where it was asked for.
      onCancel={(event) => sentMs.value > 0 && event.preventDefault()}
      onClose={() => end(false)}
    >
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault()
          void submit(event.currentTarget)
        }}
      >
        <h2 id="ask-title">{title}</h2>
        {children}
        {problem.value && (
          <p class="problem" role="alert" id="ask-problem">
            {problem.value.message}
          </p>
        )}
        {sentMs.value > 0 && waitedS > 2 && (
          <p class="muted" role="status">
            Sent; no answer for {duration(waitedS)}.
          </p>
        )}
        <div class="buttons">
          <button type="submit" class={danger ? 'danger' : 'primary'} disabled={sentMs.value > 0}>
            {sentMs.value > 0 ? 'Sending …' : verb}
          </button>
          <button type="button" disabled={sentMs.value > 0} onClick={() => box.current?.close()}>
            Cancel
          </button>
        </div>
      </form>
    </dialog>
  )
}

/** The field that is not as it must be, or that a refusal of the conductor names, is marked and shown. */
function markField(form: HTMLFormElement, error: Error): void {
  const wrong =
    error instanceof FieldError
      ? form.querySelector<HTMLElement>(`[name="${error.field}"]`)
      : [...form.querySelectorAll<HTMLElement>('[data-api]')].find((one) =>
          error.message.includes(one.dataset.api ?? ''),
        )
  for (const one of form.querySelectorAll('[aria-invalid]')) {
    one.removeAttribute('aria-invalid')
    one.removeAttribute('aria-errormessage')
  }
  if (!wrong) return
  wrong.setAttribute('aria-invalid', 'true')
  wrong.setAttribute('aria-errormessage', 'ask-problem')
  const folded = wrong.closest('details')
  if (folded) folded.open = true
  wrong.focus()
}

interface FieldProps {
  readonly name: string
  readonly label: string
  readonly hint?: string
  readonly value?: string
  readonly list?: string
  readonly secret?: boolean
  /** What the conductor calls it. */
  readonly api?: string
}

/** A text field of a form. */
export function Field({ name, label, hint, value, list, secret, api }: FieldProps) {
  const common = {
    id: `field-${name}`,
    name,
    defaultValue: value ?? '',
    autocomplete: 'off',
    spellcheck: false,
    maxLength: 2000,
    'data-api': api,
    'aria-describedby': hint === undefined ? undefined : `hint-${name}`,
  } as const
  return (
    <div class="field">
      <label for={`field-${name}`}>{label}</label>
      {secret ? (
        <input type="password" {...common} />
      ) : list ? (
        <input list={list} {...common} />
      ) : (
        <input {...common} />
      )}
      {hint !== undefined && <small id={`hint-${name}`}>{hint}</small>}
    </div>
  )
}

/** A field of several lines. */
export const Area = ({ name, label, hint, api }: Pick<FieldProps, 'name' | 'label' | 'hint' | 'api'>) => (
  <div class="field">
    <label for={`field-${name}`}>{label}</label>
    <textarea
      id={`field-${name}`}
      name={name}
      rows={4}
      autocomplete="off"
      spellcheck={false}
      data-api={api}
      aria-describedby={`hint-${name}`}
    />
    <small id={`hint-${name}`}>{hint}</small>
  </div>
)

interface ChoiceProps {
  readonly name: string
  readonly label: string
  readonly value?: string
  readonly choices: readonly (readonly [value: string, text: string])[]
  readonly onChange?: (value: string) => void
}

export const Choice = ({ name, label, value, choices, onChange }: ChoiceProps) => (
  <div class="field">
    <label for={`field-${name}`}>{label}</label>
    <select id={`field-${name}`} name={name} onChange={(event) => onChange?.(event.currentTarget.value)}>
      {choices.map(([one, text]) => (
        <option key={one} value={one} selected={one === value}>
          {text}
        </option>
      ))}
    </select>
  </div>
)

export const textOf = (data: FormData, name: string): string => {
  const value = data.get(name)
  return typeof value === 'string' ? value.trim() : ''
}

/** Throws unless the user typed `name`. */
export function mustType(data: FormData, name: string, what: string): void {
  if (textOf(data, 'confirm') === name) return
  throw new FieldError('confirm', `Name: type ${name} to confirm that ${what}`)
}
