/** Debian packages that the verbs need beyond Node.js: name, why. Installed only where they are missing. */

/** npm packages that the bundled program finds at run time: compiled ones, and one that hides its exports from
 *  import. */
export const RUNTIME = ['better-sqlite3', 'sockopt', 'fast-json-patch']

const BUILD = [
  ['g++', 'better-sqlite3 is compiled where no prebuilt one can be fetched'],
  ['make', 'the same'],
  ['python3', 'the same (node-gyp)'],
]

const RACK = [
  ['qemu-system-x86', 'the virtual servers'],
  ['qemu-utils', 'reading qcow2 images'],
  ['qemu-block-extra', 'virtual media that QEMU reads over HTTP'],
  ['seabios', 'BIOS firmware of the virtual servers'],
  ['ovmf', 'UEFI firmware of the virtual servers'],
  ['ipxe-qemu', 'network boot ROMs of the virtual servers'],
  ['ipxe', 'the loaders undionly.kpxe and snponly.efi'],
  ['radvd', 'router advertisements, which iPXE would wait for'],
  ['openipmi', 'ipmi_sim, the virtual BMCs'],
  ['ipmitool', 'power control'],
  ['freeipmi-tools', 'ipmipower, which reads the power of all BMCs at once'],
  ['swtpm', 'the TPMs of the virtual servers'],
  ['iproute2', 'the network namespace of the rack'],
  ['nftables', 'packet loss and broken lines in tests'],
  ['openssl', 'the certificate of the agent port'],
  ['genisoimage', 'config drives'],
  ['openssh-client', 'the proof: a login on each deployed server'],
  ['mmdebstrap', 'unpacking Debian for the ramdisk and the image'],
  ['grub-pc-bin', 'the BIOS loader of the image and of the boot ISO'],
  ['grub-common', 'grub-mkimage'],
  ['dosfstools', 'the EFI system partition'],
  ['mtools', 'the same'],
  ['sbsigntool', 'signing the ramdisk for Secure Boot'],
  ['xorriso', 'the ISO image of the ramdisk, for virtual media'],
  ['e2fsprogs', 'the root file system of the image'],
  ['fdisk', 'its partition table'],
  ['binutils', 'stripping Node.js for the ramdisk'],
  ['cpio', 'packing the ramdisk'],
  ['kmod', 'the ramdisk’s drivers'],
  ['zstd', 'compressing image pieces'],
  ['curl', 'asking the instances of the lab'],
]

const JUDGES = [
  ['python3-sushy', 'the Redfish library of OpenStack Ironic, as a judge of the virtual BMC'],
  ['redfishtool', 'DMTF’s command line, the same'],
  ['ilorest', 'HPE’s command line, the same'],
  ['openssl', 'the certificate of the virtual BMC'],
]

const LIBVIRT = [
  ['libvirt-daemon-system', 'libvirtd, one for each host, and the user of its guests'],
  ['libvirt-daemon-driver-qemu', 'the same'],
  ['libvirt-clients', 'virsh'],
  ['qemu-system-x86', 'the guests'],
  ['iproute2', 'namespaces'],
]

const ARM64 = [
  ['qemu-system-arm', 'the arm64 server'],
  ['qemu-efi-aarch64', 'its firmware'],
  ['arch-test', 'whether this machine runs arm64 programs, as scripts of packages need it'],
  ['qemu-user-static', 'running them'],
  ['binfmt-support', 'telling the kernel so'],
]

const VAGRANT = [
  ['vagrant', 'the practice rack'],
  ['vagrant-libvirt', 'its machines'],
  ['libvirt-daemon-system', 'the same'],
  ['libvirt-daemon-driver-qemu', 'the same'],
  ['libvirt-clients', 'virsh, which the virtual BMCs call'],
  ['dnsmasq-base', 'addresses on Vagrant’s own network'],
]

const BROWSER = [
  ['chromium', 'the browser that the web console is tested in'],
  ['fonts-dejavu-core', 'its letters'],
]

const BOOT_PEERS = [
  ['kea-dhcp4-server', 'another DHCP server, measured beside ours'],
  ['dnsmasq-base', 'the same, and its TFTP server'],
  ['tftpd-hpa', 'another TFTP server, measured beside ours'],
  ['gcc', 'the load generators'],
  ['libc6-dev', 'the same'],
  ['iproute2', 'network namespaces'],
  ['openssl', 'the certificate of the agent port'],
]

const RACKWARD_ALONE = [
  ['iproute2', 'network namespaces'],
  ['openssl', 'the certificate of the agent port'],
]

const PACKAGING = [
  ['mmdebstrap', 'a clean Debian to install the packages in'],
  ['systemd-container', 'systemd-nspawn, which boots it'],
  ['binutils', 'stripping Node.js for the package'],
]

const POSTGRES = ['postgresql', 'the second store, as a server of its own for the tests']

const PEERS = [
  ['docker-registry', 'an OCI registry that images are pulled from'],
  ['ignition', 'ignition-validate, which judges user data of config drives'],
  ['genisoimage', 'config drives'],
  ['xorriso', 'reading them'],
  ['python3-configobj', 'the modules of cloud-init, which judges config drives'],
  ['python3-jinja2', 'the same'],
  ['python3-jsonpatch', 'the same'],
  ['python3-jsonschema', 'the same'],
  ['python3-netifaces', 'the same'],
  ['python3-oauthlib', 'the same'],
  ['python3-requests', 'the same'],
  ['python3-serial', 'the same'],
  ['python3-yaml', 'the same'],
  ['tftp-hpa', 'an independent TFTP client in the protocol tests'],
  ['python3-ironicclient', 'the baremetal command line, which must work unchanged'],
  ['python3-openstacksdk', 'the same for openstacksdk'],
  ['python3-masakariclient', 'Masakari’s command line, which must work unchanged before the mesh'],
  ['python3-openstackclient', 'the same: the program openstack'],
  ['python3-masakari-monitors', 'the code by which Masakari’s monitors report hosts, processes and instances'],
  ['curl', 'the same, with blksize; and an independent HTTP client'],
  ['dnsmasq-base', 'another DHCP server on the wire, which doctor must find'],
  ['kea-dhcp4-server', 'the DHCP server of a site, beside ours'],
  ['isc-dhcp-server', 'the same, of another maker'],
  ['isc-dhcp-relay', 'a relay that writes option 82'],
  ['python3-sushy', 'the Redfish library of OpenStack Ironic, which the virtual BMC must satisfy'],
  ['redfishtool', 'DMTF’s command line, the same'],
]

const OPENSTACK = [
  ['tempest', 'OpenStack’s own tests of the bare-metal API'],
  ['ironic-tempest-plugin', 'the same'],
  ['python3-ironicclient', 'the functional tests of the command line baremetal'],
  ['python3-openstackclient', 'the command line openstack, which they call'],
  ['python3-openstacksdk', 'the functional tests of openstacksdk'],
]

const CLIENTS = [
  ['mmdebstrap', 'unpacking Debian 13’s Ansible and openstacksdk: those of Debian 12 refuse each other'],
  ['golang-go', 'building gophercloud’s own tests'],
  ['golang-github-gophercloud-gophercloud-dev', 'the same: their sources'],
  ['python3-ironicclient', 'what Nova’s Ironic driver speaks by'],
  ['python3-openstacksdk', 'the same'],
  ['curl', 'asking the real Nova'],
]

const KUBERNETES = [
  ['golang-go', 'building the API server and its controllers'],
  ['dpkg-dev', 'unpacking their sources'],
  ['etcd-server', 'what the API server stores in'],
  ['openssl', 'its certificate and key'],
]

export const PACKAGES = {
  check: BUILD,
  build: [...BUILD, ['binutils', 'stripping Node.js for the package']],
  packages: [...BUILD, ...PACKAGING],
  vagrant: [...BUILD, ...RACK, ...VAGRANT],
  'vagrant-test': [...BUILD, ...RACK, ...VAGRANT],
  sim: BUILD,
  soak: [
    ...BUILD,
    ['iproute2', 'namespaces of its own'],
    ['util-linux', 'unshare and prlimit'],
    ['ipxe', 'the loaders that the boot services serve'],
    ['freeipmi-tools', 'ipmipower'],
    ['openssl', 'the certificate of the agent port'],
  ],
  lab: [...BUILD, ...RACK],
  'lab --conductors': [...BUILD, ...RACK, POSTGRES],
  bench: [...BUILD, ...RACK],
  'bench --kubernetes': [...BUILD, ...KUBERNETES],
  'bench cluster': [...BUILD, ...RACK, POSTGRES],
  'bench boot': [...BUILD, ...BOOT_PEERS],
  'bench images': [...BUILD, ['nginx-light', 'another file server, measured beside ours'], ...RACKWARD_ALONE],
  'bench storm': [...BUILD, ...BOOT_PEERS],
  'bench web': [...BUILD, ...BROWSER],
  test: [...BUILD, ...RACK, ...PEERS, ...BROWSER, POSTGRES],
  web: [...BUILD, ...BROWSER],
  cluster: [...BUILD, POSTGRES],
  rack: [...BUILD, ...RACK, ...PEERS, ['efitools', 'making keys of Secure Boot']],
  arm64: [...BUILD, ...RACK, ...ARM64],
  mesh: [
    ...BUILD,
    ...RACK,
    ...PEERS,
    ['fence-agents', 'fencing by something else than a BMC'],
    ['pacemaker', 'what calls fence_rackward'],
    ['corosync', 'the same'],
    ['pacemaker-cli-utils', 'the same: stonith_admin'],
  ],
  api: [...BUILD, ...OPENSTACK],
  clients: [...BUILD, ...CLIENTS],
  redfish: [...BUILD, ...JUDGES],
  kubernetes: [...BUILD, ...KUBERNETES],
  nova: [...BUILD, ['curl', 'asking the real Nova']],
  libvirt: [...BUILD, ...RACK, ...PEERS, ...LIBVIRT],
}
