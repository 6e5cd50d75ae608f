/** What can be done with a rack that goes on running. */
import type { LabArgs } from './args.ts'
import type { Result } from './journey.ts'
import { consoleText, labDir, type LabState } from './verbs.ts'

export const next = (args: LabArgs, results: readonly Result[], { console: url = '' }: LabState) => {
  const ns = `rackward-${args.name}`
  const dir = labDir(args.name)
  const named = args.name === 'lab' ? '' : ` --name ${args.name}`
  return `
The rack goes on running.
${consoleText(url, dir)}

Try:
  npm run lab -- status${named}
  npm run -s lab --${named} rackward node list
  npm run -s lab --${named} rackward node console server-1
  npm run -s lab --${named} rackward doctor
  curl -s --netrc-file ${dir}/netrc --unix-socket ${dir}/api.sock http://rack/v1/nodes
  ip netns exec ${ns} ssh -i ${dir}/id_ed25519 debian@${results.find((result) => result.address)?.address ?? 'ADDRESS'}
  tail -f ${dir}/server-1/console.log
${args.ha ? `  npm run lab -- kill server-3${named}\n` : ''}  npm run lab -- down${named}          # takes everything away again
`
}
