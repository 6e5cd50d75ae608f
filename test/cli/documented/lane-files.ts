/** Commands that read and write files: imports, images, configurations. */
import type { Run } from './run-step.ts'

/** Options of commands that need no conductor, but a store. */
const STORE = { '/var/lib/rackward/images': '$IMAGES' }

/** An image that firmware takes for one: its first sector ends as it must. */
const MAKE_DISK = `head -c 1M /dev/zero > disk.raw
printf '\\125\\252' | dd of=disk.raw bs=1 seek=510 conv=notrunc status=none`

/** Images in the store of the conductor. */
export const channels: readonly Run[] = [
  {
    command: 'rackward image release web 2026.11 --channel candidate',
    before: `${MAKE_DISK}
      rackward image import disk.raw --store $CONDUCTOR_IMAGES --name web > imported.txt`,
    within: '{}; rackward image channels web',
    prints: /candidate/,
  },
  {
    command: 'rackward image promote web stable --from candidate',
    within: '{}; rackward image channels web',
    prints: /stable +2026[.]11|2026[.]11.*stable/,
  },
  { command: 'rackward image channels web', prints: /2026[.]11/ },
  {
    command: 'rackward image status --behind',
    // What was deployed by the channel is behind when the channel is at another image.
    before: `rackward node deploy follows --image web@stable --wait 60 > follows.txt
      printf more | dd of=disk.raw bs=1 seek=4096 conv=notrunc status=none
      rackward image import disk.raw --store $CONDUCTOR_IMAGES --name web-new > imported.txt
      rackward image release web 2026.12 --image web-new --channel candidate > released.txt
      rackward image promote web stable --from candidate >> released.txt`,
    prints: /follows/,
  },
  {
    command: 'rackward node list --images',
    // A node of fake hardware writes no image, so none is told; the columns are there.
    within: '{}; rackward node list --images -o json',
    prints: /image +channel[^]*follows[^]*"image": null/,
  },
  {
    command: 'rackward image rollback web stable',
    within: '{}; rackward image channels web; rackward image status --behind -o json',
    prints: /\[\]/,
  },
  {
    command: 'rackward node show',
    put: { show: 'show follows' },
    // A node of fake hardware writes no image, so none is told.
    prints: /instance_info +.*web@stable/,
  },
  {
    command: 'rackward image withdraw web 2026.11',
    before: 'rackward image release web 2026.10 > released.txt',
    put: { '2026.11': '2026.10' },
  },
]

/** Files of test/cli/rack/imports; nothing of it needs a conductor. */
export const files: readonly Run[] = [
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
    before: `${MAKE_DISK}
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
  {
    command: 'rackward image sign mine --sign-key release.pem',
    before: 'openssl genpkey -algorithm ed25519 -out release.pem; openssl pkey -in release.pem -pubout -out public.pem',
    put: { 'sign mine': 'sign mine --store $IMAGES' },
    within: '{}; rackward image verify mine --store $IMAGES --public-key public.pem',
    prints: /is signed with key [^]*is whole and signed/,
  },
  { command: 'rackward image verify', put: { verify: 'verify --store $IMAGES' } },
]
