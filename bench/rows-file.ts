import { readFileSync } from 'node:fs'
import { UsageError } from './options.ts'
import type { Row } from './report.ts'

/** The rows of an earlier run, from a file written by `--out` or from the lines printed by `--json`. */
export function readRows(path: string): Row[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new UsageError(`--from ${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
  const objects = parse(text)
  const rows = objects.filter(isRow)
  if (rows.length === objects.length && rows.length > 0) return rows
  throw new UsageError(`--from ${path} has no rows: it takes what --out wrote or --json printed`)
}

function parse(text: string): unknown[] {
  const whole = parsed(text)
  if (typeof whole === 'object' && whole !== null && 'rows' in whole) return Array.isArray(whole.rows) ? whole.rows : []
  // npm prints lines of its own before those of --json.
  const lines = text.split('\n').filter((line) => line.startsWith('{'))
  return lines.map(parsed)
}

/** Undefined, which is no row, if the text is not JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

function isRow(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && 'workload' in value && 'system' in value && 'runs' in value
}
