/** The keys of driver_info that each driver understands, as `GET /v1/drivers/DRIVER/properties` describes them. */
import { VENDOR_PROPERTIES } from '../../fake/vendor.ts'
import type { Driver } from './drivers.ts'

const AGENT_KEYS = {
  reboot:
    'how a deploy starts its image: kexec (the ramdisk jumps into it), cold (through the firmware) or auto (default: kexec where it worked often enough on the model and never failed); instance_info/reboot overrides it.',
  tpm: 'whether its TPM proves its boots: off, observe (default: faults are shown) or require (nothing secret is given before the proof: neither config drive nor rescue password).',
}
const IPMI_KEYS: Readonly<Record<string, string>> = {
  ipmi_address: 'address or host name of the BMC. Required.',
  ipmi_username: 'user of the BMC, 16 bytes at most.',
  ipmi_password: 'its password, 20 bytes at most. Kept encrypted, never shown.',
  ipmi_port: 'UDP port; default 623.',
  ipmi_priv_level: 'CALLBACK, USER, OPERATOR or ADMINISTRATOR (default).',
  ipmi_cipher_suite: 'cipher suite; found when not given: 17, and 3 where a BMC refuses 17 three times.',
  ipmi_hex_kg_key: 'Kg key for two-key logins, 40 hexadecimal digits.',
  ipmi_bridging: 'no (default), single or dual: for a blade behind another controller.',
  ipmi_local_address: 'local IPMB address for bridged requests.',
  ipmi_target_channel: 'destination channel for bridged requests.',
  ipmi_target_address: 'destination address for bridged requests.',
  ipmi_transit_channel: 'transit channel for dual bridged requests.',
  ipmi_transit_address: 'transit address for dual bridged requests.',
  ...AGENT_KEYS,
}
const REDFISH_KEYS: Readonly<Record<string, string>> = {
  redfish_address: 'URL of the BMC, such as https://192.0.2.57; an address or a name means https. Required.',
  redfish_system_id: 'path of the system, such as /redfish/v1/Systems/1. Required only if the BMC has more than one.',
  redfish_username: 'user of the BMC.',
  redfish_password: 'its password. Kept encrypted, never shown.',
  redfish_verify_ca:
    'true: the certificate must be signed by a known CA; a path: by one of that file; false (default): by the key that was seen at first contact.',
  redfish_auth_type: 'auto (default: sessions, else Basic), session or basic.',
  external_http_url:
    'base of the URL that the BMC fetches the boot ISO by, such as http://192.0.2.10:8080; default: boot.media, else boot.http of the configuration.',
  rackward_ip:
    'address of the ramdisk with its prefix, such as 192.0.2.20/24, for boots by virtual media without network_data.',
  rackward_gateway: 'its default gateway.',
  rackward_mac: 'the card that has it. Required only if the node has not exactly one port with pxe_enabled.',
  rackward_tls_pin:
    'base64 of the SHA-256 of the public key of the BMC; overrides the key that was seen at first contact.',
  ...AGENT_KEYS,
}
/** By driver; fake hardware has those of its vendor methods. */
export const DRIVER_KEYS: Readonly<Record<Driver, Readonly<Record<string, string>>>> = {
  ipmi: IPMI_KEYS,
  redfish: REDFISH_KEYS,
  idrac: REDFISH_KEYS,
  'fake-hardware': VENDOR_PROPERTIES,
}
