/** Proves this boot to the conductor: shows the keys of the TPM, answers the challenge with a quote and the event log
 *  of the firmware. What hinders it is reported by its name. */
import { open, readFile, type FileHandle } from 'node:fs/promises'
import { MAX_LOG_BYTES, QUOTED_PCRS, type TpmAnswer, type TpmCall } from '../../../conductor/api/tpm-wire.ts'
import type { Clock } from '../../../kit/clock.ts'
import { asFault, Fault } from '../../../kit/fault.ts'
import type { Run } from '../../../kit/run.ts'
import { Tpm } from './commands.ts'
import { openTpm, type Transmit, type TpmDevice } from './device.ts'

const SECURITYFS = '/sys/kernel/security'
const LOG_FILE = `${SECURITYFS}/tpm0/binary_bios_measurements`
const MOUNT_MS = 5_000
const MAX_TEXT = 2000
/** Of one command: slow TPMs take half a minute to make a key. */
const COMMAND_MS = 90_000

export interface ProofParts {
  readonly ask: (call: TpmCall) => Promise<TpmAnswer>
  readonly device?: () => Promise<TpmDevice>
  readonly log?: () => Promise<Buffer>
  readonly run: Run
  readonly clock: Pick<Clock, 'after'>
  readonly say: (line: string) => void
}

/** Resolves when the conductor has the proof, or knows that there is none. */
export async function proveBoot(parts: ProofParts): Promise<void> {
  const { ask, say } = parts
  try {
    await prove(parts)
    say('the conductor has the quote of the TPM')
  } catch (error) {
    const fault = asFault(error, 'tpm.failed')
    // What the conductor refused, or what did not reach it, is no fault of this TPM.
    if (!fault.code.startsWith('tpm.')) throw fault
    say(`no proof of this boot: ${fault.detail}`)
    await ask({ say: 'failed', code: fault.code, text: fault.detail.slice(0, MAX_TEXT) })
  }
}

async function prove({ ask, device = openTpm, run, clock, log = () => readLog(run) }: ProofParts): Promise<void> {
  const opened = await device()
  try {
    const tpm = new Tpm(bounded(opened.transmit, clock))
    const ek = await tpm.endorsementKey()
    const ak = await tpm.attestationKey()
    const keys = { ek: ek.area.toString('base64'), ak: ak.area.toString('base64') }
    const { challenge } = await ask({ say: 'keys', ...keys })
    if (!challenge) throw new Fault('agent.session', 'the conductor sent no challenge')
    const nonce = Buffer.from(challenge.nonce, 'base64')
    const activated = await tpm.activateCredential(
      { ek: ek.handle, ak: ak.handle },
      {
        credential: Buffer.from(challenge.credential, 'base64'),
        secret: Buffer.from(challenge.secret, 'base64'),
        nonce,
      },
    )
    const { quote, signature } = await tpm.quote(ak.handle, { nonce, pcrs: QUOTED_PCRS })
    for (const { handle } of [ek, ak]) await tpm.flush(handle)
    await ask({
      say: 'quote',
      ...keys,
      activated: activated.toString('base64'),
      quote: quote.toString('base64'),
      signature: signature.toString('base64'),
      log: (await log()).toString('base64'),
    })
  } finally {
    // A command that never ends would keep the file open: nobody waits for that.
    void opened.close().catch(() => undefined)
  }
}

/** The kernel waits for a TPM that hangs far longer than the conductor for a proof. */
const bounded =
  (transmit: Transmit, clock: ProofParts['clock']): Transmit =>
  (command) =>
    new Promise((resolve, reject) => {
      const late = new Fault('tpm.failed', `the TPM did not answer within ${COMMAND_MS / 1000} s`)
      const cancel = clock.after(COMMAND_MS, () => reject(late))
      void transmit(command).then(resolve, reject).finally(cancel)
    })

/** Throws `tpm.log`. */
async function readLog(run: Run): Promise<Buffer> {
  const mounts = await readFile('/proc/mounts', 'utf8')
  if (!mounts.includes(` ${SECURITYFS} `)) {
    const argv = ['busybox', 'mount', '-t', 'securityfs', 'securityfs', SECURITYFS]
    const { code, stderr } = await run(argv, { timeoutMs: MOUNT_MS })
    if (code !== 0) throw new Fault('tpm.log', `securityfs could not be mounted: ${stderr.trim()}`)
  }
  const file = await open(LOG_FILE).catch((error: Error) => {
    throw new Fault('tpm.log', `the kernel shows no event log of the firmware: ${error.message}`)
  })
  try {
    return await readBounded(file)
  } finally {
    await file.close()
  }
}

/** The file says that it has no bytes, so it is read to its end. */
async function readBounded(file: FileHandle): Promise<Buffer> {
  const buffer = Buffer.alloc(MAX_LOG_BYTES + 1)
  let length = 0
  for (;;) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, null)
    length += bytesRead
    if (length > MAX_LOG_BYTES) throw new Fault('tpm.log', `the event log has more than ${MAX_LOG_BYTES} bytes`)
    if (bytesRead === 0) return buffer.subarray(0, length)
  }
}
