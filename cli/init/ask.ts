/** Takes the answers of `rackward init` from options, from a person, or as they are usual on this machine. */
import { CliError } from '../error.ts'
import type { Answers } from './answers.ts'
import { heardText, optionOf, QUESTIONS, type Found, type Partial, type Question } from './questions.ts'

export type Given = Readonly<Record<string, string | boolean | undefined>>

export interface Asker {
  /** A person who answers; undefined: nobody is there. `undefined` of the answer: the input has ended. */
  readonly prompt: ((text: string) => Promise<string | undefined>) | undefined
  say(line: string): void
  /** Completes what was found when the network is known. */
  look(found: Found, answers: Partial): Promise<Found>
}

/** Throws `usage` for an option that cannot be taken, and with all that are missing where nobody can be asked. */
export async function askAll(given: Given, first: Found, asker: Asker): Promise<Answers> {
  const answers: Partial = {}
  const missing: string[] = []
  let found = first
  let number = 0
  for (const question of QUESTIONS) {
    const option = given[optionOf(question)]
    const isAnswered = given.yes === true || asker.prompt !== undefined
    if (question.name === 'dhcp' && option === undefined && isAnswered) {
      found = await asker.look(found, answers)
      // A person reads it with the question.
      if (given.yes) asker.say(heardText(found, answers.network))
    }
    if (!question.isAsked(answers)) {
      if (typeof option === 'string')
        throw new CliError('usage', `--${optionOf(question)}: it has no use with --dhcp ${answers.dhcp}`)
      continue
    }
    number += 1
    if (typeof option === 'string') take(question, option, { found, answers })
    else if (given.yes) takeUsual(question, { found, answers, asker })
    else if (asker.prompt) await askOne(question, { found, answers, asker, number })
    else {
      const usual = question.usual(found, answers)
      if (usual === undefined) throw new CliError('usage', `--${optionOf(question)}: ${question.needed}`)
      missing.push(`  ${question.flag.padEnd(26)} ${question.asks} Usual here: ${usual}`)
      // So that the questions that hang on it can be named as well.
      take(question, usual, { found, answers })
    }
  }
  if (missing.length > 0)
    throw new CliError(
      'usage',
      `there is no terminal to ask at. Give these options, or --yes to take what is usual here:\n${missing.join('\n')}`,
    )
  return { pool: undefined, bmc: undefined, ...answers } as Answers
}

interface At {
  readonly found: Found
  readonly answers: Partial
}

function take(question: Question, text: string, { found, answers }: At): void {
  const reply = question.read(text.trim(), found, answers)
  if ('problem' in reply) throw new CliError('usage', `--${optionOf(question)}: ${reply.problem}`)
  Object.assign(answers, { [question.name]: reply.value })
}

function takeUsual(question: Question, at: At & { asker: Asker }): void {
  const usual = question.usual(at.found, at.answers)
  if (usual === undefined) throw new CliError('usage', `--${optionOf(question)}: ${question.needed}`)
  at.asker.say(`${question.name}: ${usual}`)
  take(question, usual, at)
}

/** Asks until an answer can be taken. */
async function askOne(question: Question, at: At & { asker: Asker; number: number }): Promise<void> {
  const { found, answers, asker, number } = at
  const usual = question.usual(found, answers)
  if (usual === undefined && question.name === 'network') throw new CliError('failed', question.needed)
  asker.say(`\n${number}. ${question.asks}`)
  for (const line of question.help(found, answers)) asker.say(`     ${line}`)
  for (;;) {
    const text = await asker.prompt?.(`   ${question.name}${usual === undefined ? '' : ` [${usual}]`}: `)
    if (text === undefined)
      throw new CliError('failed', `the input ended at the question for ${question.name}; nothing was written`)
    const reply = question.read(text.trim() || (usual ?? ''), found, answers)
    if ('value' in reply) return void Object.assign(answers, { [question.name]: reply.value })
    asker.say(`   ${question.name}: ${reply.problem}`)
  }
}
