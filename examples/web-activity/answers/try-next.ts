/** What to try next: commands to be pasted into a shell, so names in them are quoted. */
import { defaultDirectory, type Options, optionDefaults } from '../options.ts'

export function tryNext(options: Options): string {
  const { input, live, dataDir } = options
  const again = commandOf(options)
  const isWhole = input === undefined && !live
  // Standard input is gone, and live traffic goes on: neither gives the same answers again.
  const isRepeatable = !live && input !== '-'
  const rows: (readonly [string, string])[] = [
    ...(isWhole ? [[again.join(' '), 'run it again: it continues, and counts nothing twice'] as const] : []),
    ...(isRepeatable ? [[`${withJson(again)} | grep top-pages`, 'the same answers for other programs'] as const] : []),
    ['npm start -- --seed 2 --data-dir data/2', 'another day'],
    ['npm start -- --live --page', 'traffic at the pace of the clock, and a page that shows it'],
    ['npm start -- --input access.log', 'a log of your own (.gz, .br, - for standard input)'],
    [`rm -r ${quoted(dataDir.startsWith('-') ? `./${dataDir}` : dataDir)}`, 'start over'],
  ]
  const width = Math.max(...rows.map(([command]) => command.length)) + 3
  return `\nTry next\n\n${rows.map(([command, what]) => `  ${command.padEnd(width)}${what}`).join('\n')}`
}

/** The words of the command that repeats the run. */
function commandOf({ input, live, dataDir, seed, events }: Options): readonly string[] {
  const options = [
    ...(input === undefined ? [] : option('input', input)),
    ...(dataDir === defaultDirectory(input, live) ? [] : option('data-dir', dataDir)),
    ...(seed === optionDefaults.seed ? [] : option('seed', String(seed))),
    ...(events === optionDefaults.events ? [] : option('events', String(events))),
  ]
  return ['npm start', ...(options.length === 0 ? [] : ['--', ...options])]
}

function withJson(command: readonly string[]): string {
  return [...command, ...(command.includes('--') ? [] : ['--']), '--json'].join(' ')
}

function option(name: string, value: string): readonly string[] {
  return value.startsWith('-') ? [`--${name}=${quoted(value)}`] : [`--${name}`, quoted(value)]
}

/** The text as one word of a POSIX shell. */
function quoted(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}
