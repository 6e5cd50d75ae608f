/** The machine of a host in the virtual mesh: its chassis with a BMC, and, where it is wanted, its libvirtd. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LabNode } from './lab-ground.ts'

/** A libvirtd of its own, in the host's mount namespace; the agent starts beside it. */
export async function makeLibvirt(node: LabNode, main: string): Promise<void> {
  const at = join(node.dir, 'lv')
  for (const name of ['lib', 'run', 'etc', 'log', 'cache']) await mkdir(join(at, name), { recursive: true })
  await writeFile(
    join(at, 'etc/libvirtd.conf'),
    'auth_unix_rw = "none"\nauth_unix_ro = "none"\nunix_sock_rw_perms = "0700"\n',
  )
  await writeFile(
    join(at, 'etc/qemu.conf'),
    `stdio_handler = "file"
security_driver = "none"
user = "root"
group = "root"
cgroup_controllers = [ ]
namespaces = [ ]
`,
  )
  const binds = Object.entries({
    lib: '/var/lib/libvirt',
    run: '/run/libvirt',
    etc: '/etc/libvirt',
    log: '/var/log/libvirt',
    cache: '/var/cache/libvirt',
  })
  const script = `#!/bin/sh
${binds.map(([name, path]) => `mkdir -p ${path}; mount --bind ${at}/${name} ${path}`).join('\n')}
rm -f /run/libvirt/*.pid ${node.dir}/libvirtd.pid
setsid libvirtd --pid-file ${node.dir}/libvirtd.pid >>${node.dir}/libvirtd.log 2>&1 </dev/null &
exec ${process.execPath} ${main} agent --config ${node.dir}/agent.yaml
`
  await writeFile(join(node.dir, 'inside.sh'), script, { mode: 0o755 })
  await writeFile(
    join(node.dir, 'start.sh'),
    `#!/bin/sh
exec setsid ip netns exec ${node.namespace} ${node.dir}/inside.sh >>${node.dir}/agent.log 2>&1 </dev/null
`,
    { mode: 0o755 },
  )
}

/** The chassis of a host: its power is whether anything may run in its namespace. Files tell it to misbehave. */
export async function makeChassis(
  node: LabNode,
  at: { bmcAddress: string; ports: readonly string[]; shared: string },
): Promise<void> {
  const guid = Buffer.from(node.systemUuid.replaceAll('-', ''), 'hex').reverse().toString('hex')
  const lan = `name "${node.name}"
set_working_mc 0x20
  startlan 1
    addr ${at.bmcAddress} 623
    priv_limit admin
    allowed_auths_callback md5
    allowed_auths_user md5
    allowed_auths_operator md5
    allowed_auths_admin md5
    guid ${guid}
  endlan
  chassis_control "${node.dir}/chassis.sh"
  user 1 false "" "" user 1
  user 2 true "admin" "secret" admin 10
`
  const chassis = `#!/bin/sh
d=${node.dir}; op=$1; shift; echo "$op $*" >>$d/calls
off() {
 $d/links.sh down; echo 0 >$d/power
 for i in 1 2 3; do for p in $(ip netns pids ${node.namespace}); do kill -KILL $p; done; done
}
case $op in
 reset) off;;
 get) while [ -n "$1" ]; do case $1 in
   power)
    if [ -e $d/bmc-lies ]; then echo power:0
    elif [ -e $d/bmc-blip ]; then rm $d/bmc-blip; echo power:0
    else echo power:$(cat $d/power); fi;;
   boot) echo boot:none;; *) exit 1;; esac; shift; done;;
 set) while [ -n "$1" ]; do case $1 in
   power) if [ ! -e $d/bmc-stuck ]; then if [ $2 = 0 ]; then off; else $d/on.sh; fi; fi;; esac; shift 2; done;;
esac
exit 0
`
  await writeFile(join(node.dir, 'lan.conf'), lan)
  await writeFile(
    join(node.dir, 'emu.cmd'),
    `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
sel_enable 0x20 1000 0x0a
mc_enable 0x20
`,
  )
  await writeFile(join(node.dir, 'chassis.sh'), chassis, { mode: 0o755 })
  // A boot: another identity, an empty /run, and the agent.
  await writeFile(
    join(node.dir, 'on.sh'),
    `#!/bin/sh
[ "$(cat ${node.dir}/power)" = 1 ] && exit 0
${node.dir}/links.sh up
echo 1 >${node.dir}/power
cat /proc/sys/kernel/random/uuid >${node.dir}/boot-id
rm -f ${node.dir}/gate
${node.dir}/start.sh &
`,
    { mode: 0o755 },
  )
  // A machine without power has no kernel that answers: its ports are down.
  const lines = [...at.ports, `[ $1 = up ] && ln -sfn ${at.shared} ${node.dir}/shared`]
  await writeFile(join(node.dir, 'links.sh'), `#!/bin/sh\n${lines.join('\n')}\nexit 0\n`, { mode: 0o755 })
}
