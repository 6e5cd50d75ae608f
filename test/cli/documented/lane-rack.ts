/** Commands about a whole rack. */
import type { Run } from './run-step.ts'

/** Its file is docs/examples/fake-rack.yaml. */
export const rack: readonly Run[] = [
  { command: 'rackward rack schema', prints: /"\$schema"/ },
  { command: 'rackward rack validate -f rack.yaml' },
  { command: 'rackward rack why r1-u07 -f rack.yaml', put: { 'r1-u07': 'r1-u01' }, prints: /resource_class/ },
  { command: 'rackward rack plan -f rack.yaml', status: 8 },
  { command: 'rackward rack plan -f rack.yaml --out plan.json', status: 8 },
  { command: "rackward rack apply plan.json --allow 'boot,erase=r1-u[01-04]' --wait" },
  { command: 'rackward rack rollouts', prints: /done/ },
  {
    command: 'rackward rack status ID',
    before: 'ID=$(GET /rackward/v1/rollouts | grep -o "[0-9a-f-]\\{36\\}" | head -n 1)',
    put: { ID: '$ID' },
    prints: /r1-u01/,
  },
  { command: 'rackward rack drift -f rack.yaml' },
  { command: 'rackward rack drift -f rack.yaml --json --boot-device' },
  { command: 'rackward rack export --out rack.yaml', put: { 'rack.yaml': 'exported.yaml' } },
  {
    command: 'rackward rack export --site lab --out rack.d/',
    put: { 'rack.d': 'lab.d', 'site lab': 'site example' },
  },
  { command: 'rackward rack export --to metal3 --out hosts.yaml', put: { 'hosts.yaml': 'exported-hosts.yaml' } },
  {
    command: 'rackward rack pause ID',
    // One that waits for a day between its canary and the others.
    before: `sed -i 's/^site: .*/site: paused/; s/r1:/r8:/; s/r2:/r9:/; s/r2-node/r9-node/' rack.yaml
      sed -i 's/:10:/:80:/; s/:20:/:90:/; s/nodes: .r1-u01./nodes: [r8-u01], hold_seconds: 86400/' rack.yaml
      rackward rack plan -f rack.yaml --out paused.json > plan.txt || [ $? = 8 ]
      rackward rack apply paused.json --allow 'boot,erase=r8-u[01-04]' > applied.txt 2>&1
      ID=$(grep -o "[0-9a-f-]\\{36\\}" applied.txt | head -n 1)`,
    put: { ID: '$ID' },
    prints: /paused/,
  },
]
