/** The serial ports of the Vagrant rack: vagrant/bmc.sh gives each server one that its BMC passes on, once. */
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { run, runOk } from '../../kit/run.ts'
import { ROOT } from './root.ts'

const DOMAIN = `<domain type='qemu'>
  <name>rackward_server-2</name>
  <devices>
    <serial type='file'>
      <source path='/var/tmp/rackward-server-2.log'/>
      <target type='isa-serial' port='0'><model name='isa-serial'/></target>
    </serial>
    <console type='file'>
      <source path='/var/tmp/rackward-server-2.log'/>
      <target type='serial' port='0'/>
    </console>
    <memballoon model='virtio'/>
  </devices>
</domain>
`

test('a serial port becomes a socket with a log, and a second time changes nothing', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-vagrant-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  const [domain, defined] = [join(dir, 'domain.xml'), join(dir, 'defined')]
  await mkdir(join(dir, 'server-2'))
  await writeFile(domain, DOMAIN)
  // What libvirt has is a file, and each definition is counted.
  await writeFile(
    join(dir, 'virsh'),
    `#!/bin/sh\nfor last; do :; done\ncase "$*" in *dumpxml*) cat ${domain};; *define*) cp "$last" ${domain}; echo 1 >>${defined};; esac\n`,
  )
  await chmod(join(dir, 'virsh'), 0o755)
  const script = (await readFile(join(ROOT, 'vagrant/bmc.sh'), 'utf8'))
    .replace(/^dir=.*$/m, `dir=${dir}`)
    .replace(/^case \$\{1:-\} in[\s\S]*$/m, 'serial_over_lan 2; serial_over_lan 2\n')
  await runOk(['bash', '-c', script, 'bmc.sh'], { timeoutMs: 20_000, env: { PATH: `${dir}:${process.env.PATH}` } })
  const text = await readFile(domain, 'utf8')
  expect(text.match(/<serial /g)).toHaveLength(1)
  expect(text).not.toContain("type='file'")
  expect(text).toContain("<source mode='bind' host='127.0.0.1' service='9102'/>")
  expect(text).toContain("<log file='/var/tmp/rackward-server-2.log' append='on'/>")
  expect(text).toMatch(/<memballoon model='virtio'\/>\n {2}<serial .*<\/serial><\/devices>\n<\/domain>/)
  expect(await readFile(defined, 'utf8')).toBe('1\n')
})

test.runIf(process.getuid?.() === 0)('files that another user may have made start nothing', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-vagrant-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  await mkdir(join(dir, 'bmc'))
  await chown(join(dir, 'bmc'), 65_534, 65_534)
  // Whatever it would call says so.
  for (const name of ['virsh', 'ipmi_sim', 'ip']) {
    await writeFile(join(dir, name), `#!/bin/sh\necho "$0" >>${dir}/called\n`)
    await chmod(join(dir, name), 0o755)
  }
  const script = (await readFile(join(ROOT, 'vagrant/bmc.sh'), 'utf8')).replace(/^dir=.*$/m, `dir=${dir}/bmc`)
  const env = { PATH: `${dir}:${process.env.PATH}` }
  const { code, stderr } = await run(['bash', '-c', script, 'bmc.sh', 'up'], { timeoutMs: 20_000, env })
  expect([code, stderr]).toEqual([1, expect.stringContaining('belongs to another user')])
  await expect(readFile(join(dir, 'called'))).rejects.toThrow('ENOENT')
})
