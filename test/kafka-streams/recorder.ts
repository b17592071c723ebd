import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Scenario, Step } from '../harness/golden-scenario.ts'
import type { BareScenario } from './scenarios.ts'

/** The real Kafka Streams in a Java process, which records what comes out of a scenario. */
export class Recorder {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #answers: AsyncIterator<string>
  readonly #ended: Promise<unknown>
  #errors = ''

  constructor(jars: string) {
    const source = fileURLToPath(new URL('./Recorder.java', import.meta.url))
    const options = ['-XX:+UseSerialGC', '-Xmx1g', '-Dorg.slf4j.simpleLogger.defaultLogLevel=off', '-cp', jars]
    this.#child = spawn('java', [...options, source])
    this.#ended = new Promise((resolve) => this.#child.once('close', resolve))
    this.#child.stderr.on('data', (text) => (this.#errors = (this.#errors + String(text)).slice(-2000)))
    // What cannot be written is not answered either, and that is reported.
    this.#child.stdin.on('error', () => {})
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  /** The scenario with its results, or why Kafka Streams does not build its topology. */
  async record(scenario: BareScenario): Promise<Scenario | { readonly refused: string }> {
    this.#child.stdin.write(`${JSON.stringify(scenario)}\n`)
    const { value, done } = await this.#answers.next()
    if (done === true) throw new Error(`the recorder ended: ${this.#errors}`)
    const answer = JSON.parse(value) as Answer
    if ('refused' in answer) return answer
    const steps: Step[] = []
    for (const [index, outcome] of answer.steps.entries()) {
      const action = scenario.steps[index]
      if (action === undefined) throw new Error('the recorder answered more than it was asked')
      steps.push(action)
      if ('error' in outcome) steps.push({ expectError: { type: outcome.error } })
      else steps.push(outcome)
    }
    if (answer.stores === undefined) {
      const { stores: _, ...rest } = scenario
      return { ...rest, steps }
    }
    return { ...scenario, steps, stores: answer.stores, droppedRecords: answer.droppedRecords }
  }

  async close(): Promise<void> {
    this.#child.stdin.end()
    await this.#ended
  }
}

type Answer =
  | { readonly refused: string }
  | {
      readonly steps: readonly (Extract<Step, { readonly expect: unknown }> | { readonly error: string })[]
      /** Absent if the application stopped. */
      readonly stores?: Required<Scenario>['stores']
      readonly droppedRecords: number
    }
