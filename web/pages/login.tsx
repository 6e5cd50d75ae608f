/** Asks for user and password. */
import { useSignal } from '@preact/signals'
import { logIn } from '../api.ts'
import { begin } from '../live.ts'
import { loginProblem } from '../state.ts'

export function Login() {
  const problem = loginProblem
  const busy = useSignal(false)
  const submit = async (form: HTMLFormElement) => {
    const data = new FormData(form)
    busy.value = true
    problem.value = ''
    try {
      await logIn(String(data.get('user')), String(data.get('password')))
      await begin()
    } catch (error) {
      problem.value = error instanceof Error ? error.message : String(error)
    } finally {
      busy.value = false
    }
  }
  return (
    <main class="login">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault()
          void submit(event.currentTarget)
        }}
      >
        <h1>
          <svg viewBox="0 0 20 20" aria-hidden="true">
            <rect x="3" y="2" width="14" height="4" rx="1" />
            <rect x="3" y="8" width="14" height="4" rx="1" class="lit" />
            <rect x="3" y="14" width="14" height="4" rx="1" />
          </svg>
          Rackward
        </h1>
        <p class="muted">Log in with a user of the API.</p>
        <label>
          User
          <input name="user" autocomplete="username" required autofocus maxLength={255} />
        </label>
        <label>
          Password
          <input name="password" type="password" autocomplete="current-password" required maxLength={1024} />
        </label>
        {problem.value && (
          <p class="problem" role="alert">
            {problem.value}
          </p>
        )}
        <button type="submit" disabled={busy.value}>
          {busy.value ? 'Checking …' : 'Log in'}
        </button>
      </form>
    </main>
  )
}
