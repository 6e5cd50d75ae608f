/** Commands of the documents that are run as they stand there (run.test.ts), in the order of each lane. Those of other
 *  tests stand in elsewhere.ts. A command that stands in neither fails test/rules/documented.test.ts. */

export interface Run {
  readonly command: string
  /** Words that mean something of the reader's -> what it is in the test. */
  readonly put?: Readonly<Record<string, string>>
  /** Shell, before it. */
  readonly before?: string
  /** Shell around it; {} is the command. */
  readonly within?: string
  /** 0, unless another one is meant. */
  readonly status?: number
  /** Goes on until somebody ends it, which is done when it printed what it should. */
  readonly isEndless?: true
  /** Of what it prints. */
  readonly prints?: RegExp
}

const LAB = { 'npm run -s lab -- ': '', 'server-1': 'web-1' }
const WHY = { '--why ...': '--why practice' }
/** Options of commands that need no conductor, but a store. */
const STORE = { '/var/lib/rackward/images': '$IMAGES' }

/** Each lane is run in its order, beside the others. */
export const LANES: Readonly<Record<string, readonly Run[]>> = {
  // Nodes of fake hardware: web-1 is active.
  nodes: [
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
      before: `rackward node enroll held --driver fake-hardware > held.txt; rackward node manage held --wait 60 >> held.txt
        HOLD='[{interface: deploy, step: hold}]'
        rackward node clean held --steps "$HOLD" > held.txt
        until rackward node list | grep -q "held .*clean hold"; do :; done`,
      put: { abort: 'abort held --wait 60' },
      prints: /clean failed/,
    },
    // It proved no TPM.
    { command: 'rackward node tpm NODE --accept FINGERPRINT', put: { NODE: 'web-1' }, status: 4, prints: /TPM/ },
    { command: 'rackward node undeploy', put: { undeploy: 'undeploy web-1 --wait 60' }, prints: /web-1 +available/ },
  ],
  // u07 is a server behind a Redfish BMC.
  hardware: [
    { command: 'rackward node health u07', prints: /OK/ },
    { command: 'rackward node explain u07', prints: /^manageable:/ },
    { command: 'rackward node inspect u07 --wait', prints: /u07/ },
    { command: 'rackward node secure-boot u07' },
    { command: 'rackward node secure-boot u07 on --wait' },
    { command: 'rackward node secure-boot u07 reset --wait' },
    {
      command: `rackward node clean u07 --wait --steps '[{"interface": "management", "step": "clear_secure_boot_keys"}]'`,
    },
    { command: 'rackward node bios u07', prints: /ProcCores/ },
    { command: 'rackward node bios u07 set ProcCores=16 LogicalProc=Disabled --wait' },
    { command: 'rackward node bios u07 reset --wait' },
    { command: 'rackward node firmware u07', prints: /bios/ },
    { command: 'rackward node media attach NODE URL', put: { NODE: 'u07', URL: 'http://192.0.2.9/images/any.iso' } },
    {
      command:
        'rackward node firmware u07 update bios https://firmware.example.com/approved/bios-2.2.0.bin --checksum sha256:... --wait',
      put: { 'https://firmware.example.com/approved': '$VENDOR', 'sha256:...': 'sha256:$FIRMWARE_SHA256' },
      within: '{}; rackward node firmware u07',
      prints: /2[.]2[.]0/,
    },
    {
      command:
        'openssl s_client -connect 192.0.2.57:443 </dev/null 2>/dev/null | openssl x509 -pubkey -noout | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64',
      put: { '192.0.2.57:443': '$BMC' },
      // It is what the record shows.
      within: 'PIN=$({}); GET /v1/nodes/u07 | grep -F "\\"bmc_tls_pin\\":\\"$PIN\\""',
    },
  ],
  // Requests as they stand in the README: each is sent by a program that has its name (run.test.ts).
  api: [
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
  ],
  // Debian's python3-ironicclient.
  clients: [
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
  ],
  // Its file is docs/examples/fake-rack.yaml.
  rack: [
    { command: 'rackward rack schema', prints: /"\$schema"/ },
    { command: 'rackward rack validate -f rack.yaml' },
    { command: 'rackward rack why r1-u07 -f rack.yaml', put: { 'r1-u07': 'r1-u01' }, prints: /resource_class/ },
    { command: 'rackward rack plan -f rack.yaml', status: 8 },
    { command: 'rackward rack plan -f rack.yaml --out plan.json', status: 8 },
    { command: "rackward rack apply plan.json --allow 'boot,erase=r1-u[01-04]' --wait" },
    { command: 'rackward rack rollouts', prints: /done/ },
    {
      command: 'rackward rack status ID',
      before: 'ID=$(rackward rack rollouts -o json | grep -om1 "[0-9a-f-]\\{36\\}")',
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
  ],
  // Files of test/cli/rack/imports; nothing of it needs a conductor.
  files: [
    {
      command: 'rackward rack import --from bifrost baremetal.yml --out rack.yaml',
      put: { 'baremetal.yml': '$IMPORTS/bifrost.yml', 'rack.yaml': 'bifrost-rack.yaml' },
    },
    {
      command: 'rackward rack import --from metal3 hosts.yaml --site lab',
      put: { 'hosts.yaml': '$IMPORTS/metal3.yaml' },
    },
    {
      command: 'rackward rack import --from tinkerbell hardware.yaml',
      put: { 'hardware.yaml': '$IMPORTS/tinkerbell.yaml' },
    },
    {
      command: 'rackward rack import --from maas machines.json --out rack.d/',
      put: { 'machines.json': '$IMPORTS/maas.json', 'rack.d': 'maas.d' },
    },
    {
      command: 'rackward image import disk.qcow2 --store /var/lib/rackward/images --name mine --checksum sha256:...',
      before: `head -c 1M /dev/zero > disk.raw; printf '\\125\\252' | dd of=disk.raw bs=1 seek=510 conv=notrunc status=none
        qemu-img convert -O qcow2 disk.raw disk.qcow2; SUM=$(sha256sum disk.qcow2 | cut -d' ' -f1)`,
      put: { ...STORE, '...': '$SUM' },
    },
    {
      command: 'rackward image import FILE --name UUID',
      put: { FILE: 'disk.raw', UUID: 'c0ffee00-0000-4000-8000-000000000001 --store $IMAGES' },
    },
    { command: 'rackward image list', put: { list: 'list --store $IMAGES' }, prints: /mine/ },
    {
      command: 'rackward conductor --config FILE --check-config',
      before: 'echo "{ data: ., images: { store: ./images }, api: { auth: { strategy: noauth } } }" > conductor.yaml',
      put: { FILE: 'conductor.yaml' },
      prints: /is acceptable/,
    },
    {
      command: 'rackward agent --config FILE --check-config',
      before: 'echo "{ name: h1, role: host, planes: { management: { address: 127.0.0.1 } }, gate: {} }" > agent.yaml',
      put: { FILE: 'agent.yaml' },
      prints: /is acceptable/,
    },
    {
      command:
        'rackward init --yes --network eno2 --dhcp own --pool 192.0.2.100-192.0.2.199 --bmc ipmi,admin,/root/bmc.password',
      before: 'echo secret > bmc.password; chmod 600 bmc.password',
      put: { '/root/bmc.password': '$PWD/bmc.password --out $PWD/etc --data $PWD/data' },
      // On a network of its own.
      within: `unshare --net bash -c 'set -e; ip link add eno2 type veth peer name switch
        ip address add 192.0.2.1/24 dev eno2; ip link set eno2 up; ip link set switch up; {}'
        rackward conductor --config etc/conductor.yaml --check-config`,
      prints: /is acceptable/,
    },
    { command: 'rackward image verify', put: { verify: 'verify --store $IMAGES' } },
  ],
  // h1 to h3 are hosts of a mesh in memory, and well.
  mesh: [
    { command: 'rackward mesh status', prints: /h1/ },
    { command: 'rackward mesh explain HOST', put: { HOST: 'h1' }, prints: /h1/ },
    { command: 'rackward mesh policy' },
    { command: 'rackward mesh policy --isolated fence --why ...', put: WHY },
    { command: 'rackward mesh policy --tenant-lost drain --why ...', put: WHY },
    { command: 'rackward mesh arm --dry-run', put: { '--dry-run': '--dry-run --why practice' } },
    { command: 'rackward mesh disarm --why upgrade' },
    { command: 'rackward mesh disarm --why ...', put: WHY },
    { command: 'rackward mesh arm', put: { arm: 'arm --why practice' } },
    { command: 'rackward mesh maintenance on HOST --for 2h --why ...', put: { HOST: 'h1', ...WHY } },
    { command: 'rackward mesh drain HOST --wait', put: { HOST: 'h2 --why practice' } },
    { command: 'rackward mesh fence HOST --confirm HOST', put: { HOST: 'h3' }, prints: /h3/ },
    { command: 'rackward incident list', prints: /h3/ },
    {
      command: 'rackward incident show ID',
      before: 'ID=$(rackward incident list -o json | grep -om1 "h3[.][0-9.]*")',
      put: { ID: '$ID' },
      prints: /h3/,
    },
    {
      command: 'rackward incident retry',
      before: `ID=$(rackward incident list -o json | grep -om1 "h3[.][0-9.]*")
        until rackward incident show $ID | grep -q evacuated; do :; done`,
      put: { retry: 'retry $ID' },
    },
    {
      command: 'rackward incident attest ID --confirm HOST',
      before: 'ID=$(rackward incident list -o json | grep -om1 "h3[.][0-9.]*")',
      put: { ID: '$ID', HOST: 'h3' },
    },
    {
      command: 'rackward incident attest | retry | close ID',
      before: 'ID=$(rackward incident list -o json | grep -om1 "h3[.][0-9.]*")',
      put: { 'attest | retry | close ID': 'close $ID --confirm h3' },
    },
  ],
}
