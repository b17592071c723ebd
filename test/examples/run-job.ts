/** Runs the web-activity job as its user does: a process of its own, its answers on standard output. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { jsonLines } from '../../examples/web-activity/answers/report.ts'
import { type JobOptions, runJob as runJobHere } from '../../examples/web-activity/job.ts'
import type { LineSource } from '../../examples/web-activity/lines/sources.ts'
import type { AnswerRow } from './plain-oracle.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
// Node strips the types by itself, and keeps what it compiled (`vitest.config.ts`): a start takes a third of one under tsx.
const hooks = new URL('../../scripts/from-source.ts', import.meta.url).href
type Example = 'web-activity' | 'github-activity'
const mainOf = (example: Example): string =>
  fileURLToPath(new URL(`../../examples/${example}/main.ts`, import.meta.url))

/** The answers of a run in this process, which is quicker, for tests that do not depend on the command line. */
export async function answersFrom(
  source: LineSource,
  options: Pick<JobOptions, 'dataDir'> & Partial<JobOptions>,
): Promise<AnswerRow[]> {
  const answers = await runJobHere({
    source,
    live: false,
    emit: 'commit',
    stop: new AbortController().signal,
    status: { update: () => undefined, finish: () => undefined },
    ...options,
  })
  if (!answers) throw new Error('the job was stopped')
  return [...jsonLines(answers)].map((line) => JSON.parse(line))
}

export interface Run {
  readonly code: number | null
  readonly output: string
  /** The status lines and error messages. */
  readonly errors: string
}

export function startJob(args: readonly string[], example: Example = 'web-activity'): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, ['--import', hooks, mainOf(example), ...args], { cwd: root, stdio: 'pipe' })
}

export function ended(job: ChildProcessWithoutNullStreams): Promise<Run> {
  let output = ''
  let errors = ''
  job.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  job.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  return new Promise((resolve, reject) => {
    job.on('error', reject)
    job.on('close', (code) => resolve({ code, output, errors }))
  })
}

export async function runJob(
  args: readonly string[],
  input: string | Uint8Array = '',
  example: Example = 'web-activity',
): Promise<Run> {
  const job = startJob(args, example)
  const end = ended(job)
  // A job that refuses its options does not read what it is sent.
  job.stdin.on('error', () => undefined)
  job.stdin.end(input)
  return end
}

export function answersOf({ code, output, errors }: Run): AnswerRow[] {
  if (code !== 0) throw new Error(`the job ended with ${code}: ${errors}`)
  return output
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}

/** The answers in a fixed order: neither their order nor that of their fields matters to the oracle. */
export function sorted(rows: readonly AnswerRow[]): readonly string[] {
  return rows.map((row) => JSON.stringify(row, sortedFields)).toSorted()
}

function sortedFields(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
