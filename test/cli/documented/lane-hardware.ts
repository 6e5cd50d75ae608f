/** Commands about a server behind a Redfish BMC. */
import type { Run } from './run-step.ts'

/** u07 is a server behind a Redfish BMC. */
export const hardware: readonly Run[] = [
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
]
