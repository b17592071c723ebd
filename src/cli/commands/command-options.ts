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

/**
 * The milliseconds of a time such as `2026-01-31` or `2026-01-31T12:00Z`; null for any other text, of which `Date.parse`
 * may still make a time: it takes `-1` and `end 1` for the year 2001.
 */
export function millisecondsOfTime(text: string): number | null {
  const [, day] = isoTime.exec(text) ?? []
  // Of a day that its month does not have, the parser makes one of the next month.
  if (day === undefined || !isDay(day)) return null
  const timestamp = Date.parse(text)
  return timestamp >= 0 ? timestamp : null
}

function isDay(day: string): boolean {
  const midnight = Date.parse(day)
  return !Number.isNaN(midnight) && new Date(midnight).toISOString().startsWith(day)
}

const isoTime = /^(\d{4}-\d\d-\d\d)([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/i
