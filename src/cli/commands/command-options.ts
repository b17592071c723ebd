import { InvalidArgumentError, type Command } from 'commander'

/** Adds the options that most commands share, so that they are spelled the same everywhere. */
export function withDirectory(command: Command): Command {
  return command
    .option('-d, --data-dir <directory>', 'data directory of the log', 'data')
    .option('--json', 'one JSON object per line, for programs', false)
}

export interface DirectoryOptions {
  readonly dataDir: string
  readonly json: boolean
}

/** Parses an integer of `min` or more. */
export function integer(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() !== '' && Number.isSafeInteger(value) && value >= min) return value
    throw new InvalidArgumentError(`Give an integer of ${min} or more.`)
  }
}
