import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLog, type EmbeddedLog } from 'millrace/log'
import { runCli } from '../../src/cli/program.ts'

/** A temporary data directory, and the command run on it as in a process of its own, but without one. */
export class CliHarness {
  readonly dataDir: string = mkdtempSync(join(tmpdir(), 'millrace-cli-'))

  async fill(use: (log: EmbeddedLog) => Promise<void>): Promise<void> {
    const log = await openLog({ dataDir: this.dataDir, threads: false })
    try {
      await use(log)
    } finally {
      await log.close()
    }
  }

  async run(line: string, input: readonly string[] = []): Promise<CliResult> {
    const out: string[] = []
    const err: string[] = []
    const code = await runCli([...line.split(' '), '--data-dir', this.dataDir], {
      out: async (text) => void out.push(text),
      err: (text) => void err.push(text),
      progress: () => {},
      input: () => linesOf(input),
      stop: new AbortController().signal,
    })
    return { code, out: out.join('\n'), err: err.join('\n') }
  }

  async json(line: string, input: readonly string[] = []): Promise<unknown[]> {
    const { code, out, err } = await this.run(`${line} --json`, input)
    if (code !== 0) throw new Error(`exit code ${code}: ${err}`)
    return out === '' ? [] : out.split('\n').map((text) => JSON.parse(text) as unknown)
  }

  close(): void {
    rmSync(this.dataDir, { recursive: true, force: true })
  }
}

export interface CliResult {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function* linesOf(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines
}
