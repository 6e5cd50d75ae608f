/** `rackward node tpm` */
import type { Command } from 'commander'
import { onServer } from './server-options.ts'

export const tpmCommand = (node: Command): void =>
  void onServer(
    node
      .command('tpm')
      .argument('<node>', 'name or UUID')
      .description('its TPM, and what it proved of the last boot')
      .option(
        '--accept [fingerprint]',
        'take the other TPM that proved the last boot for its own, after a repair; only this one',
      ),
  ).action(async (ident: string, options) => (await import('../tpm.ts')).tpm(ident, options))
