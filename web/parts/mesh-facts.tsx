/** What the mesh does by itself, and who decides it. */
import type { ComponentChildren } from 'preact'
import type { ToldMesh } from '../mesh-api.ts'

/** How it is: it acts, says what it would do, or does nothing. */
export function armedOf({ armed, dry_run }: ToldMesh): { tone: string; word: string; means: string } {
  if (!armed) return { tone: 'bad', word: '✖ disarmed', means: 'no host is fenced' }
  if (dry_run) return { tone: 'warn', word: '▲ dry run', means: 'it says what it would do, and does nothing' }
  return { tone: 'good', word: '● armed', means: 'a dead host is fenced, and its instances are moved' }
}

export const Fact = ({ name, children }: { readonly name: string; readonly children: ComponentChildren }) => (
  <div>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </div>
)

/** Words of the policy for what is not certain death. */
const DOES: Readonly<Record<string, string>> = {
  page: 'a person is told',
  fence: 'it is fenced',
  drain: 'its instances are moved live',
}
const doesOf = (what: string | undefined): string => (what === undefined ? 'not reported' : (DOES[what] ?? what))

export function Policy({ mesh }: { readonly mesh: ToldMesh }) {
  const changed = Object.entries(mesh.changed_limits ?? {})
  return (
    <section class="card">
      <h2>Policy</h2>
      <dl class="facts">
        <Fact name="Proofs of death">{mesh.levels.join(', ')}</Fact>
        <Fact name="The agent of a host is lost">{doesOf(mesh.agent_lost)}</Fact>
        <Fact name="A host answers on storage alone">{doesOf(mesh.isolated)}</Fact>
        <Fact name="Its guests cannot be reached">{doesOf(mesh.tenant_lost)}</Fact>
        <Fact name="Limits that were changed">
          {changed.length === 0 ? 'none' : changed.map(([name, value]) => `${name} ${value}`).join(', ')}
        </Fact>
      </dl>
    </section>
  )
}
