#!/usr/bin/env node
/** rackward <noun> <verb>. Each command lives in its own file and is loaded when it is asked for. */
import { CommanderError } from 'commander'
import { STATUSES, CliError } from './error.ts'
import { makeProgram } from './program.ts'
import { lines } from './show.ts'

makeProgram()
  .parseAsync()
  .catch((error: Error) => {
    // It printed what it had to say; its status is 0 after --help.
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : STATUSES.usage
      return
    }
    process.stderr.write(`rackward: ${lines(error.message)}\n`)
    process.exitCode ??= error instanceof CliError ? STATUSES[error.kind] : STATUSES.failed
  })
