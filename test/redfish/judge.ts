/** Runs a judge, a Redfish client of others, to its end. */
import { run } from '../../kit/run.ts'

const LIFE_MS = 60_000

/** In a home of its own. Python's requests would take certificates from the environment, whatever it is told. Throws
 *  what the judge says when it fails. */
export async function judge(home: string, argv: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await run(argv, {
    timeoutMs: LIFE_MS,
    env: { REQUESTS_CA_BUNDLE: '', CURL_CA_BUNDLE: '', SSL_CERT_FILE: '', HOME: home },
    cwd: home,
    ...(input === undefined ? {} : { input }),
  })
  if (code !== 0) throw new Error(`${argv.slice(0, 2).join(' ')}: status ${code}: ${stderr}${stdout}`)
  return stdout
}
