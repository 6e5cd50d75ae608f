/** `rackward node console`: the serial console of a node by its BMC (IPMI 2.0, section 26: serial over LAN), from this machine. The API says where the BMC is and as whom to
 *  log in; its password it never tells: it comes from RACKWARD_BMC_PASSWORD, or ipmitool asks for it. */
import { execa } from 'execa'
import { connect, type Common } from './nodes.ts'
import { Trouble } from './trouble.ts'

export async function openConsole(ident: string, options: Common): Promise<void> {
  const node = (await (await connect(options)).ask('GET', `/v1/nodes/${encodeURIComponent(ident)}`)) as { driver: string; driver_info: Record<string, unknown> }
  const info = node.driver_info
  if (node.driver !== 'ipmi' || typeof info.ipmi_address !== 'string')
    throw new Trouble('refused', `node ${ident} (driver ${node.driver}) has no serial console that could be opened; only driver ipmi has one`)
  const text = (key: string) => (info[key] === undefined ? undefined : String(info[key] as string | number))
  const suite = text('ipmi_cipher_suite')
  const password = process.env.RACKWARD_BMC_PASSWORD
  const argv = [
    ['-I', 'lanplus', '-H', info.ipmi_address, '-p', text('ipmi_port') ?? '623'],
    ['-U', text('ipmi_username') ?? '', '-L', text('ipmi_priv_level') ?? 'ADMINISTRATOR'],
    suite === undefined ? [] : ['-C', suite],
    // -E: from the environment; -a: asks. Neither shows it in the list of processes.
    [password === undefined ? '-a' : '-E', 'sol', 'activate'],
  ].flat()
  process.stderr.write(`console of ${ident}: end it with ~. at the beginning of a line\n`)
  const { exitCode, failed, code } = await execa('ipmitool', argv, {
    stdio: 'inherit',
    reject: false,
    env: password === undefined ? {} : { IPMI_PASSWORD: password },
  })
  if (code === 'ENOENT') throw new Trouble('failed', 'ipmitool is not installed here: apt-get install ipmitool')
  if (failed)
    throw new Trouble('failed', `ipmitool ended with ${exitCode}: its message stands above; is the BMC reached from this machine, and is another session open?`)
}
