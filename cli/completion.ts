/** Shell completion: the shell asks the program itself, which knows its commands; names of nodes come from the API when
 *  it answers quickly. */
import type { Command } from 'commander'
import { CliError } from './error.ts'

const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `_rackward() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(rackward complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _rackward rackward
`,
  zsh: `#compdef rackward
_rackward() { local -a found; found=("\${(@f)$(rackward complete -- "\${words[@]:1:CURRENT-1}" 2>/dev/null)}"); compadd -- $found }
compdef _rackward rackward
`,
  fish: `complete -c rackward -f -a '(rackward complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`,
}
const NAMES_MS = 1_000

export function completionScript(shell: string): string {
  const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined
  if (!script) throw new CliError('usage', `${shell}: use one of ${Object.keys(SCRIPTS).join(', ')}`)
  return script
}

/** What may stand at the place of the last word. */
export async function candidates(
  program: Command,
  words: readonly string[],
  nodeNames: () => Promise<string[]>,
): Promise<string[]> {
  const current = words.at(-1) ?? ''
  let command = program
  let arguments_ = 0
  for (const word of words.slice(0, -1)) {
    const next = command.commands.find((one) => one.name() === word)
    if (next && arguments_ === 0) command = next
    else if (!word.startsWith('-')) arguments_ += 1
  }
  if (current.startsWith('-'))
    return command.options.flatMap(({ long }) => long ?? []).filter((name) => name.startsWith(current))
  const below = command.commands.filter((one) => !(one as { _hidden?: boolean })._hidden).map((one) => one.name())
  if (below.length > 0) return below.filter((name) => name.startsWith(current))
  const wanted = command.registeredArguments[Math.min(arguments_, command.registeredArguments.length - 1)]
  if (wanted?.name() !== 'node') return []
  const late = new Promise<string[]>((resolve) => setTimeout(() => resolve([]), NAMES_MS).unref())
  return (await Promise.race([nodeNames().catch(() => []), late])).filter((name) => name.startsWith(current))
}
