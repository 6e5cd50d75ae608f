/** The commands that the documents show: lines of code blocks, and code within a line that begins with the name of a
 *  program. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../lab/root.ts'

export interface Shown {
  readonly page: string
  readonly command: string
  /** Within a line of text; else in a block of its own. */
  readonly inline: boolean
}

export const PAGES: readonly string[] = [
  'README.md',
  'vagrant/README.md',
  ...readdirSync(join(ROOT, 'docs')).flatMap((name) =>
    // A list of what was decided, and when: nobody is told to type what it names.
    name.endsWith('.md') && name !== 'decisions.md' ? [`docs/${name}`] : [],
  ),
]

const PROGRAMS =
  /^(?:sudo (?:-\w+ \S+ )?)?(?:[A-Z_]+=\S+ )*(?:rackward|npm|npx|node|baremetal|openstack|metalsmith|curl|vagrant|virsh|apt|apt-get|dpkg|systemctl|journalctl|consul|kubectl|pcs|ssh|scp|openssl|ipmitool|pg_dump|pg_restore|pg_basebackup|psql|htpasswd|mv|cp|rm|cut|cat|kill|export|source|ulimit|git|docker)(?= +\S)/

/** Shell alone: other blocks are data, or what a program printed. */
const FENCE = /^ *```(\w*)\n([\s\S]*?)^ *```$/gm
const isShell = (kind: string): boolean => /^(?:sh|bash|shell|console)$/.test(kind)

/** Without prompt and remark; what goes on in the next line is one command with it. */
function commandsOf(block: readonly string[]): string[] {
  const commands: string[] = []
  let goesOn = false
  for (const line of block) {
    const bare = line
      .trim()
      .replace(/^\$ /, '')
      .replace(/(?:^|\s+)#\s.*$/, '')
      .replaceAll(/\s+/g, ' ')
    if (goesOn) commands.push(`${commands.pop() ?? ''} ${bare}`)
    else if (bare !== '') commands.push(bare)
    goesOn = /[|\\]$/.test(bare)
  }
  return commands
}

/** A text of Markdown. */
export function shownIn(page: string, text: string): Shown[] {
  const fenced = [...text.matchAll(FENCE)].flatMap(([, kind = '', body = '']) => {
    const lines = body.split('\n')
    return isShell(kind) ? commandsOf(lines) : commandsOf(lines.filter((line) => line.startsWith('$ ')))
  })
  const prose = text.replace(FENCE, '')
  const indented = commandsOf(prose.split('\n').filter((line) => line.startsWith('    ')))
  const spans = [...prose.replace(/^ {4}.*$/gm, '').matchAll(/(?<!`)`([^`\n]+)`(?!`)/g)].flatMap(([, span = '']) =>
    PROGRAMS.test(span) ? [span.replaceAll('\\|', '|').trim()] : [],
  )
  return [
    ...[...fenced, ...indented].map((command) => ({ page, command, inline: false })),
    ...spans.map((command) => ({ page, command, inline: true })),
  ]
}

export const everyShown = (): Shown[] => PAGES.flatMap((page) => shownIn(page, readFileSync(join(ROOT, page), 'utf8')))
