/** Commands about servers of fake hardware, and the same by the API and by Ironic's client. */
import type { Run } from './run-step.ts'

const LAB = { 'npm run -s lab -- ': '', 'server-1': 'web-1' }

/** Nodes of fake hardware: web-1 is active. */
export const nodes: readonly Run[] = [
  { command: 'npm run -s lab -- rackward node list', put: LAB, prints: /web-1 +active/ },
  { command: 'rackward node list', prints: /web-1 +active/ },
  {
    command: 'rackward node list --server unix:/tmp/.../api.sock',
    put: { '/tmp/.../api.sock': '$SOCKET' },
    prints: /web-1 +active/,
  },
  { command: 'npm run -s lab -- rackward node explain server-1', put: LAB, prints: /^active:/ },
  // The mesh in memory has no leader.
  { command: 'npm run -s lab -- rackward doctor', put: LAB, status: 1, prints: /knows you as admin/ },
  { command: 'rackward doctor', status: 1, prints: /knows you as admin/ },
  { command: 'rackward node --help', prints: /Usage: rackward node/ },
  { command: 'rackward node explain NODE', put: { NODE: 'web-1' }, prints: /^active:/ },
  { command: 'rackward node explain NAME', put: { NAME: 'web-1' }, prints: /^active:/ },
  { command: 'rackward node queue' },
  { command: 'rackward image gc --dry-run' },
  { command: 'rackward node tpm NODE', put: { NODE: 'web-1' } },
  { command: 'rackward node console NODE', put: { NODE: 'web-1' }, isEndless: true, prints: /fake console/ },
  { command: 'rackward node rebuild NODE', put: { NODE: 'web-1 --wait 60' }, prints: /web-1/ },
  {
    command:
      'rackward node enroll u07 --bmc 192.0.2.57 --user admin --password-file /root/bmc.password --mac 52:54:00:00:00:07',
    before: 'echo secret > bmc.password; chmod 600 bmc.password',
    put: { '/root/': '', u07: 'ipmi-7' },
    prints: /ipmi-7: is enrolled with 1 port/,
  },
  {
    command: 'rackward node enroll u07 --driver redfish --bmc 192.0.2.57 --user rackward --mac 52:54:00:00:00:01',
    before: 'export RACKWARD_BMC_PASSWORD=secret',
    put: { u07: 'redfish-7', '192.0.2.57': '192.0.2.58' },
    prints: /redfish-7: is enrolled with 1 port/,
  },
  {
    command: 'rackward node deploy --all --class compute --image NAME --canary 2 --stop-on 5%',
    // What ends something is not begun before somebody agrees.
    put: { NAME: 'debian-12' },
    status: 4,
    prints: /--allow/,
  },
  {
    command: 'rackward fence-agent',
    within: `printf 'action=list\\nip=127.0.0.1\\nipport=%s\\nusername=admin\\npassword=%s\\n' \
      "\${RACKWARD_SERVER##*:}" "$RACKWARD_PASSWORD" | {}`,
    prints: /web-1/,
  },
  {
    command: 'rackward node abort',
    before: `rackward node clean held --steps '[{interface: deploy, step: hold}]' > held.txt
      until GET /v1/nodes/held | grep -q '"clean hold"'; do sleep 0.1; done`,
    put: { abort: 'abort held --wait 60' },
    prints: /clean failed/,
  },
  // It proved no TPM.
  { command: 'rackward node tpm NODE --accept FINGERPRINT', put: { NODE: 'web-1' }, status: 4, prints: /TPM/ },
  { command: 'rackward node undeploy', put: { undeploy: 'undeploy web-1 --wait 60' }, prints: /web-1 +available/ },
]

/** Requests as they stand in the README: each is sent by a program that has its name (run.test.ts). */
export const api: readonly Run[] = [
  {
    command:
      'POST /v1/nodes {"driver": "ipmi", "name": "u07", "driver_info": {"ipmi_address": "...", "ipmi_username": "...", "ipmi_password": "..."}}',
    // A server that answers.
    put: { '"ipmi"': '"fake-hardware"', u07: 'api-7' },
    prints: /"name":"api-7"/,
  },
  {
    command:
      'POST /v1/ports {"node_uuid": "...", "address": "<MAC that boots>"} extra.ipv4_address sets a fixed address',
    before: `UUID=$(GET /v1/nodes/api-7 | grep -om1 '"uuid":"[^"]*"' | cut -d'"' -f4)`,
    put: {
      '...': '$UUID',
      '<MAC that boots>': '52:54:00:00:a0:07',
      ' extra.ipv4_address sets a fixed address': '',
    },
    prints: /52:54:00:00:a0:07/,
  },
  {
    command: 'PUT /v1/nodes/u07/states/provision {"target": "manage"}, then "inspect", then "provide"',
    put: { u07: 'api-7' },
    within: '{}; GET /v1/nodes/api-7',
    prints: /"provision_state":"available"/,
  },
  {
    command: 'PATCH /v1/nodes/u07 [{"op": "add", "path": "/instance_info/image_source", "value": "debian-12"}]',
    put: { u07: 'api-7' },
    prints: /"image_source":"debian-12"/,
  },
  {
    command:
      'PUT /v1/nodes/u07/states/provision {"target": "active", "configdrive": {"meta_data": {...}, "user_data": "..."}}',
    put: { u07: 'api-7', '{...}': '{"hostname": "api-7"}' },
    within: '{}; GET /v1/nodes/api-7',
    prints: /"provision_state":"active"/,
  },
  {
    command: 'GET /rackward/v1/nodes/u07/explain',
    put: { u07: 'api-7' },
    prints: /"provision_state":"active"/,
  },
]

/** Debian's python3-ironicclient. */
export const clients: readonly Run[] = [
  {
    command: 'export OS_AUTH_TYPE=http_basic OS_ENDPOINT=https://192.0.2.1:6385 OS_USERNAME=admin OS_PASSWORD=...',
    put: { 'https://192.0.2.1:6385': '$RACKWARD_SERVER', '...': '$RACKWARD_PASSWORD' },
    within: '{}; baremetal node list',
    prints: /web-1/,
  },
  {
    command: 'export OS_AUTH_TYPE=http_basic OS_USERNAME=alice OS_PASSWORD=... OS_ENDPOINT=https://192.0.2.1:6385',
    put: { 'https://192.0.2.1:6385': '$RACKWARD_SERVER', alice: 'monitor', '...': 'monitor-password' },
    within: '{}; baremetal node list',
    prints: /web-1/,
  },
  {
    command: 'baremetal node set NODE --driver-info tpm=require',
    before: `export OS_AUTH_TYPE=http_basic OS_ENDPOINT=$RACKWARD_SERVER OS_USERNAME=admin OS_PASSWORD=$RACKWARD_PASSWORD`,
    put: { NODE: 'spare-1' },
    within: '{}; GET /v1/nodes/spare-1',
    prints: /"tpm":"require"/,
  },
]
