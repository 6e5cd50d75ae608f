/** Commands of the documents that other tests run; those of which a test does the work without these words; and those
 *  that no test can do, each with the reason. */

/** A test, a text that stands in it, and the commands that it runs, with values of its own. */
export const ELSEWHERE: readonly (readonly [file: string, marker: string, ...commands: string[]])[] = [
  [
    'test/cli/documented-commands.test.ts',
    '### From a shell',
    'export RACKWARD_SERVER=https://192.0.2.1:6385 RACKWARD_CACERT=api.crt RACKWARD_USER=alice RACKWARD_PASSWORD=...',
    'rackward node enroll -f rack.yaml --diff',
    'rackward node enroll -f rack.yaml',
    'rackward node manage u07 u08 u09 --wait',
    'rackward node provide u07 u08 u09 --wait',
    'rackward node deploy u07 --image debian-12 --configdrive @drive.yaml --wait',
    'rackward node watch',
    'rackward node console u07',
    'source <(rackward completion bash)',
  ],
  [
    'test/cli/documented-commands.test.ts',
    '### Only the API',
    'node dist/bundle/main.js conductor --dev --port 6385 --data /tmp/rackward',
    `curl -s localhost:6385/v1/nodes -H 'OpenStack-API-Version: baremetal latest' -H 'content-type: application/json' -d '{"driver":"fake-hardware","name":"n1"}'`,
    `curl -s -X PUT localhost:6385/v1/nodes/n1/states/provision -H 'OpenStack-API-Version: baremetal latest' -H 'content-type: application/json' -d '{"target":"manage"}'`,
    'rackward conductor --dev',
  ],
  [
    'test/cli/raid.test.ts',
    "'--replace'",
    'rackward node raid u07',
    'rackward node raid u07 create --config @raid.yaml --wait',
    'rackward node raid u07 delete --wait',
  ],
  ['test/cli/boot-snippets.test.ts', "'--for'", 'rackward boot snippets --for kea|isc|dnsmasq|windows'],
  [
    'test/cli/tools.test.ts',
    "'backup'",
    'rackward backup --out ...',
    'rackward backup --out /var/backups/rackward-2026-11-20',
  ],
  [
    'test/cli/backup.test.ts',
    'pg_dump',
    `pg_dump --format=custom --file=/srv/dumps/rackward-2026-11-20 'postgresql://rackward@db.example/rackward'`,
  ],
  [
    'test/cli/init-start.test.ts',
    "'conductor', '--config', config",
    'rackward conductor --config /etc/rackward/conductor.yaml',
  ],
  ['test/cli/store.test.ts', "'migrate'", 'sudo -u rackward rackward store migrate --from sqlite --to postgres'],
  [
    'test/conductor/rooms/room-process.test.ts',
    "'room', 'list'",
    'rackward room list',
    'rackward room renew',
    'rackward room remove',
    'rackward room remove NAME',
  ],
  ['test/conductor/rooms/restored.test.ts', "'store', 'accept'", 'rackward store doubt', 'rackward store accept'],
  [
    'test/conductor/rooms/site.ts',
    "'--bundle'",
    'rackward room add r17a --segment rack17 --out r17a.json',
    'rackward boot --room r17a --bundle r17a.json --conductor https://192.0.2.1:6387 --interface eno1=10.17.0.2',
  ],
  [
    'test/cli/simulate/run.test.ts',
    'the conductor answers at unix:',
    'rackward simulate --nodes 200',
    'rackward simulate --nodes 200 --deploy --speed 10',
  ],
  [
    'test/cli/simulate/ends.test.ts',
    "'--conductor', victim.base",
    'rackward simulate --conductor http://127.0.0.1:6385 --nodes 50 --bmc-ports --ipmi-port 9000',
  ],
  [
    'test/mesh/lab.ts',
    "'--finish'",
    'rackward mesh init a1 --address 10.0.0.1',
    'rackward mesh init a1 --finish',
    'rackward mesh invite a2 --arbiter --out a2.bundle',
    'rackward mesh invite h1 --out h1.bundle',
    'rackward mesh join h1.bundle --address 10.0.0.11',
    'rackward agent --config /etc/rackward/agent.yaml &',
    'rackward agent --config /etc/rackward/agent.yaml',
  ],
  ['test/packages/packages.test.ts', 'systemctl start rackward-conductor', 'systemctl start rackward-conductor'],
  ['test/packages/packages.test.ts', 'systemctl stop rackward-conductor', 'systemctl stop rackward-conductor'],
  ['test/packages/packages.test.ts', 'what npm packs', 'npm pack', 'npm i -g', 'npm i -g rackward-*.tgz'],
  [
    'test/clients/clients.test.ts',
    'baremetal: a node from enrolment to its end',
    'baremetal node list',
    'baremetal node rescue u07 --rescue-password ...',
    'baremetal node power off NODE',
    'baremetal node history list',
  ],
  [
    'test/clients/masakari.test.ts',
    'openstack segment: created',
    'export OS_AUTH_TYPE=http_basic OS_ENDPOINT=http://192.0.2.1:6385/instance-ha/v1 OS_USERNAME=admin OS_PASSWORD=...',
    'openstack segment create s1 auto COMPUTE',
    'openstack segment host create h1 COMPUTE SSH s1',
    'openstack notification list',
    'openstack notification show UUID',
  ],
  [
    'test/clients/metalsmith.ts',
    "'deploy', '--resource-class'",
    'OS_CLOUD=rack metalsmith deploy --resource-class compute --image http://192.0.2.1:8080/image.qcow2 --image-checksum SHA256 --hostname web-1',
    'metalsmith list',
  ],
  ['test/vagrant/vagrant.test.ts', "'up'", 'vagrant up'],
]

/** Why not with these words, a test, a text that stands in it, and the commands whose work it does. */
export const SAME_WORK: readonly (readonly [reason: string, file: string, marker: string, ...commands: string[]])[] = [
  [
    'it takes minutes, so the tests that need one share it: the function behind the command makes it',
    'test/rack/setup.ts',
    'debianFor(',
    'rackward image build debian-12',
    'rackward image build debian-12 --cache /var/lib/rackward --store /var/lib/rackward/images',
  ],
  [
    'the same',
    'test/rack/setup.ts',
    'ramdiskFor(',
    'rackward image build ramdisk',
    'rackward image build ramdisk --cache /var/lib/rackward --link /var/lib/rackward/ramdisk',
  ],
  ['the same', 'test/rack/setup.ts', 'loadersFor(', 'rackward image build loaders'],
  [
    'the same',
    'test/rack/long/uki.test.ts',
    'buildSignedRamdisk(',
    'rackward image build uki',
    'rackward image build uki --config /etc/rackward/conductor.yaml',
  ],
  ['the same', 'test/arm64/deploy.test.ts', 'arm64Ramdisk()', 'rackward image build ramdisk --arch arm64'],
  [
    'pcs is not installed: cibadmin gives a real Pacemaker what pcs makes of these words',
    'test/mesh/pacemaker.test.ts',
    'as `pcs stonith create` makes it',
    'pcs stonith create rackward fence_rackward ip=conductor.example ssl=1 cacert=/etc/rackward/ca.pem username=fencer password_file=/etc/rackward/fencer.password power_timeout=90',
  ],
  [
    'the unit of the test says itself what these words make a unit say',
    'test/packages/packages.test.ts',
    'Requires=rackward-gate.service',
    'systemctl enable rackward-gate',
    'systemctl add-requires UNIT rackward-gate',
  ],
  [
    'dpkg installs them: all that they need is in the clean Debian already',
    'test/packages/packages.test.ts',
    'dpkg -i /var/tmp/rackward-common_*.deb /var/tmp/rackward_*.deb',
    'apt-get install ./rackward-common_*.deb ./rackward_*.deb',
  ],
  [
    'the verbs of npm that need the package install it',
    'kit/setup/packages.mjs',
    "['fence-agents',",
    'apt-get install fence-agents',
  ],
  [
    'the objects of the file are made through the API, which answers a token of its account',
    'test/kubernetes/real/servers.ts',
    'As `kubectl apply -f` of the manifest',
    'kubectl apply -f docs/examples/kubernetes-rbac.yaml',
  ],
]

/** Programs and machines of others, which no test here has. */
export const NOT_HERE: readonly (readonly [reason: string, ...commands: string[]])[] = [
  ['a server at another place', 'ssh -L 8443:127.0.0.1:8443 root@HOST', 'ssh rescue@<its address>'],
  ['a cluster of the reader', 'kubectl get nodes', 'kubectl uncordon', 'consul snapshot save'],
]
