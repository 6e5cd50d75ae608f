/** A secret that is made for each node: for those that are deployed, when they are, and for no other. */
import { expect, test } from 'vitest'
import { readLocated } from '../../../cli/rack/located.ts'
import { planOf } from '../../../cli/rack/plan.ts'
import { resolve } from '../../../cli/rack/resolve.ts'
import { readSecrets } from '../../../cli/rack/secrets.ts'
import { requestOf } from '../../../conductor/rollouts/requests.ts'
import { applied, observing } from './model.ts'

const PROGRAM = "console.log('#join ' + process.argv[1]); console.log(Math.random())"
const secretOf = (more = "'{name}'], per_node: true") => `{ exec: [${process.execPath}, -e, "${PROGRAM}", ${more} }`
const fileOf = (unit = '', secret = secretOf()) => `version: 1
site: lab
secrets: { join: ${secret} }
images: { one: { store: one } }
racks:
  r1:
    units:
      u[01-02]: { name: 'h{n}', driver: ipmi, bmc: '192.0.2.{n}', image: one, want: active, ${unit} }
`
const DRIVE = 'configdrive: { user_data: { secret: join }, meta_data: { all: [{ secret: join }] } }'
const rackOf = async (text: string) => resolve(await readLocated(text, 'rack.yaml'))
const HERE = { directory: '.', env: {} }

test('each node that is deployed has a secret of its own, whole, and no request holds that of another', async () => {
  const rack = await rackOf(fileOf(DRIVE))
  const plan = planOf(rack, observing([]))
  expect(plan.secrets).toEqual(['join@h1', 'join@h2'])
  const secrets = await readSecrets(rack, plan.secrets, HERE)
  expect(secrets['join@h1']).toMatch(/^#join h1\n0\.\d+$/)
  expect(secrets['join@h2']).toMatch(/^#join h2\n0\.\d+$/)
  for (const { node, stages } of plan.items) {
    const sent = JSON.stringify(stages.map((stage) => requestOf(stage, { nodeUuid: node, portUuid: '', secrets })))
    const other = node === 'h1' ? 'h2' : 'h1'
    expect(sent).toContain(`"user_data":"#join ${node}\\n`)
    expect(sent).not.toContain(`#join ${other}`)
  }
})

test('nothing is made for a node that is not deployed, and a plan runs nothing', async () => {
  const rack = await rackOf(fileOf(DRIVE, secretOf().replace(process.execPath, '/no/such/program')))
  const nodes = applied(planOf(rack, observing([])), [])
  const plan = planOf(rack, observing(nodes.filter(({ name }) => name === 'h1')))
  expect(plan.items.map(({ node }) => node)).toEqual(['h2'])
  expect(plan.secrets).toEqual(['join@h2'])
  await expect(readSecrets(rack, plan.secrets, HERE)).rejects.toThrow(/^rack\.yaml:3:\d+: secrets\/join@h2: /)
  expect(planOf(rack, observing(nodes)).items).toEqual([])
})

test.each([
  [
    fileOf('driver_info: { ipmi_password: { secret: join } }'),
    /driver_info\/ipmi_password: join is made anew for each node/,
  ],
  [
    fileOf(DRIVE, secretOf("'x'], per_node: true")),
    /secrets\/join\/exec: with per_node, an argument names the node: write \{name\}/,
  ],
  [fileOf(DRIVE, '{ env: JOIN, per_node: true }'), /per_node/],
])('%s is refused', async (text, says) => {
  await expect(rackOf(text)).rejects.toThrow(says)
})

test('a name that the program would read as an option is refused', async () => {
  const rack = await rackOf(fileOf(DRIVE).replace('u[01-02]', 'u01').replace('h{n}', '-h').replaceAll('{n}', '1'))
  await expect(readSecrets(rack, ['join@-h'], HERE)).rejects.toThrow('-h would be read as an option')
})
