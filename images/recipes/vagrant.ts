/** A box for Vagrant (provider libvirt): Debian, the user `vagrant` with a key that is made for this box, and what a
 *  conductor needs. Format: Vagrant's documents on boxes, and vagrant-libvirt's on its box format: metadata.json,
 *  Vagrantfile, box.img. */
import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { runOk } from '../../kit/run.ts'
import { CONDUCTOR_NEEDS } from '../packages/deb.ts'
import { buildDebian, type Extras } from './debian.ts'

const TIMEOUT_MS = 20 * 60_000
const SPARE_MIB = 3_072
const GIB = 1024 ** 3

/** What the conductor's package depends on, what it recommends for boot ISOs, and what Vagrant's own set-up calls. */
const PACKAGES = [...CONDUCTOR_NEEDS, 'genisoimage', 'curl', 'rsync'] as const

/** The first card gets its address from Vagrant's own network; there is no config drive, so cloud-init would only wait
 *  for one. */
const NETWORK = '[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\n'
const SSH = '[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n'
const BOX = `Vagrant.configure('2') do |config|
  config.ssh.private_key_path = File.expand_path('id_ed25519', __dir__)
  config.ssh.insert_key = false
end
`

export async function buildVagrantBox(opts: {
  extras: Extras
  workDir: string
  outFile: string
  say: (line: string) => void
}): Promise<string> {
  const { workDir, outFile } = opts
  await rm(workDir, { recursive: true, force: true })
  await mkdir(join(workDir, 'box'), { recursive: true })
  await mkdir(dirname(outFile), { recursive: true })
  try {
    const key = join(workDir, 'box/id_ed25519')
    await runOk(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'vagrant', '-f', key], { timeoutMs: TIMEOUT_MS })
    const publicKey = (await readFile(`${key}.pub`, 'utf8')).trim()
    await rm(`${key}.pub`)
    // Vagrant unpacks the box with the rights that it finds, and ssh refuses a key that others may read.
    await chmod(key, 0o600)
    const disk = join(workDir, 'disk.raw')
    const extras = {
      ...opts.extras,
      packages: [...opts.extras.packages, ...PACKAGES],
      hooks: hooks(publicKey),
      spareMib: SPARE_MIB,
    }
    await buildDebian({ workDir: join(workDir, 'debian'), disk, architecture: 'x86_64', say: opts.say, extras })
    opts.say('packing the box')
    const sizeGib = Math.ceil((await stat(disk)).size / GIB)
    await runOk(['qemu-img', 'convert', '-q', '-c', '-O', 'qcow2', disk, join(workDir, 'box/box.img')], {
      timeoutMs: TIMEOUT_MS,
    })
    await rm(disk)
    await writeFile(
      join(workDir, 'box/metadata.json'),
      JSON.stringify({ provider: 'libvirt', format: 'qcow2', virtual_size: sizeGib }),
    )
    await writeFile(join(workDir, 'box/Vagrantfile'), BOX)
    // The image is compressed already.
    await runOk(
      [
        'tar',
        '--create',
        '--owner=0',
        '--group=0',
        '--file',
        `${outFile}.part`,
        '--directory',
        join(workDir, 'box'),
        '.',
      ],
      { timeoutMs: TIMEOUT_MS },
    )
    await runOk(['mv', `${outFile}.part`, outFile], { timeoutMs: TIMEOUT_MS })
    return outFile
  } finally {
    await rm(workDir, { recursive: true, force: true })
  }
}

const quoted = (text: string) => `'${text.replaceAll('\n', '\\n')}'`

const hooks = (publicKey: string): string[] => [
  'chroot "$1" useradd --create-home --shell /bin/bash vagrant && echo "vagrant ALL=(ALL) NOPASSWD: ALL" >"$1/etc/sudoers.d/vagrant"',
  `install -d -m 0700 "$1/home/vagrant/.ssh" && printf ${quoted(`${publicKey}\n`)} >"$1/home/vagrant/.ssh/authorized_keys" && chroot "$1" chown -R vagrant:vagrant /home/vagrant/.ssh`,
  `printf ${quoted(NETWORK)} >"$1/etc/systemd/network/90-dhcp.network" && touch "$1/etc/cloud/cloud-init.disabled"`,
  `mkdir -p "$1/etc/systemd/system/ssh.service.d" && printf ${quoted(SSH)} >"$1/etc/systemd/system/ssh.service.d/keys.conf"`,
  // Vagrant writes the name of the machine there.
  'printf "127.0.0.1 localhost\\n" >"$1/etc/hosts" && echo rackward >"$1/etc/hostname"',
]
