/** What the three suites read: tempest.conf and its accounts, clouds.yaml of openstacksdk, test.conf of
 *  python-ironicclient. */
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const ACCOUNTS = 4
const SECTIONS = (identity: string, dir: string): Readonly<Record<string, Readonly<Record<string, string>>>> => ({
  DEFAULT: { log_file: join(dir, 'tempest.log'), debug: 'False' },
  oslo_concurrency: { lock_path: join(dir, 'lock') },
  auth: { use_dynamic_credentials: 'False', test_accounts_file: join(dir, 'accounts.yaml') },
  identity: { uri_v3: identity, auth_version: 'v3', region: 'RegionOne' },
  service_available: {
    ironic: 'True',
    ...Object.fromEntries(
      ['ironic_inspector', 'nova', 'glance', 'cinder', 'swift', 'neutron'].map((name) => [name, 'False']),
    ),
  },
  baremetal: {
    driver: 'fake-hardware',
    endpoint_type: 'publicURL',
    min_microversion: '1.1',
    max_microversion: 'latest',
    enabled_hardware_types: 'fake-hardware,ipmi',
    enabled_bios_interfaces: 'no-bios,fake',
    enabled_boot_interfaces: 'ipxe,fake',
    enabled_deploy_interfaces: 'direct,fake',
    enabled_management_interfaces: 'ipmitool,fake',
    enabled_power_interfaces: 'ipmitool,fake',
    enabled_raid_interfaces: 'no-raid,fake',
    enabled_rescue_interfaces: 'no-rescue,agent,fake',
    default_rescue_interface: 'no-rescue',
  },
  compute: { build_interval: '1', build_timeout: '120' },
})

const login = (user: string, scope: string) =>
  `{username: ${user}, password: x, user_domain_name: Default, ${scope}, roles: [admin], types: [admin]}`

/** Answers the environment that the suites run in. */
export async function writeSettings(
  dir: string,
  at: { api: string; identity: string },
): Promise<Record<string, string>> {
  const bin = join(dir, 'work/.tox/functional/bin')
  await Promise.all([mkdir(join(dir, 'lock'), { recursive: true }), mkdir(bin, { recursive: true })])
  // python-ironicclient's tests look for the command line there.
  for (const command of ['openstack', 'baremetal']) await symlink(`/usr/bin/${command}`, join(bin, command))
  const section = ([name, values]: [string, Readonly<Record<string, string>>]) =>
    `[${name}]\n${Object.entries(values)
      .map(([key, value]) => `${key} = ${value}\n`)
      .join('')}`
  await writeFile(join(dir, 'tempest.conf'), Object.entries(SECTIONS(at.identity, dir)).map(section).join('\n'))
  const users = Array.from({ length: ACCOUNTS }, (_, n) => [
    `- ${login(`admin${n}`, `project_name: admin${n}, project_domain_name: Default`)}\n`,
    `- ${login(`sysadmin${n}`, 'system: all')}\n`,
  ])
  await writeFile(join(dir, 'accounts.yaml'), users.flat().join(''))
  await writeFile(join(dir, 'test.conf'), `[functional]\nauth_strategy = noauth\nironic_url = ${at.api}\n`)
  const auth = `{auth_url: '${at.identity}', username: admin, password: x, project_name: admin, user_domain_name: Default, project_domain_name: Default}`
  const clouds = ['devstack', 'devstack-alt', 'devstack-admin'].map(
    (name) => `  ${name}: {auth_type: password, region_name: RegionOne, baremetal_api_version: '1', auth: ${auth}}\n`,
  )
  await writeFile(join(dir, 'clouds.yaml'), `clouds:\n${clouds.join('')}`)
  return {
    PATH: '/usr/bin:/bin',
    HOME: join(dir, 'work'),
    LANG: 'C.UTF-8',
    TEMPEST_CONFIG_DIR: dir,
    TEMPEST_CONFIG: 'tempest.conf',
    IRONICCLIENT_TEST_CONFIG: join(dir, 'test.conf'),
    OS_CLIENT_CONFIG_FILE: join(dir, 'clouds.yaml'),
    OS_CLOUD: 'devstack-admin',
    OS_TEST_TIMEOUT: '300',
  }
}
