import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { KafkaBroker } from './kafka-broker.ts'
import { settledMachine } from './settled-machine.ts'

/** The real Kafka and Kafka Streams, run by the script of the anchors: one JSON line per run. */
export type AnchorLine = { readonly [field: string]: unknown }

/**
 * Copies the anchors to another folder, because they build next to their sources and may be in a read-only folder. The
 * copy is reused for later rows.
 */
export class Anchors {
  readonly #folder: string
  readonly #script: string
  readonly #data: string

  constructor(folder: string, data: string) {
    if (!existsSync(join(folder, 'run')))
      throw new Error(`no anchors in ${resolve(folder)}: name their folder with --anchors`)
    const copy = join(process.env['MILLRACE_ANCHORS'] ?? mkdtempSync(join(tmpdir(), 'millrace-anchors-')))
    if (!existsSync(join(copy, 'run'))) cpSync(folder, copy, { recursive: true })
    this.#folder = copy
    this.#script = join(copy, 'run')
    this.#data = resolve(data)
  }

  /** A broker that runs until it is stopped. */
  async broker(): Promise<KafkaBroker> {
    // If its classes are missing, the script builds them first.
    return await KafkaBroker.start(this.#folder, this.#data)
  }

  async run(workloads: readonly string[], options: readonly string[]): Promise<readonly AnchorLine[]> {
    await settledMachine()
    const child = spawn('bash', [this.#script, workloads.join(','), '--data', this.#data, ...options], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const lines: AnchorLine[] = []
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('{')) lines.push(JSON.parse(line) as AnchorLine)
    }
    return lines
  }
}
