import { reasonFor } from '../../base/coded-error.ts'
import type { Header } from '../../log/api/record.ts'
import { outgoingRecord } from '../../log/api/record.ts'
import { StreamsError } from '../errors.ts'
import type { Task } from '../task/task.ts'
import type { StagedPlace } from '../task/record-collector.ts'
import type { SourceNode } from '../topology/node.ts'

/**
 * Handles a record that cannot be decoded or does not fit its schema, as its source declares: the application stops
 * with topic, partition, offset and cause; or the record is skipped and counted; or its bytes go to a dead-letter
 * topic, with headers that say where it was and what was wrong. No record is lost without a trace.
 */
export class InvalidRecords {
  readonly #partitions: ReadonlyMap<string, number>
  readonly #places = new Map<string, StagedPlace>()
  readonly #out = outgoingRecord()

  constructor(partitions: ReadonlyMap<string, number>) {
    this.#partitions = partitions
  }

  handle(task: Task, source: SourceNode, error: unknown): void {
    const { record } = task
    const topic = record.input?.topic ?? ''
    const partition = record.input?.partition ?? -1
    const code = error instanceof Error && 'code' in error ? error.code : ''
    if (code === 'ASYNC_SCHEMA') {
      // This is a mistake in the program: with another policy, every record would be skipped.
      throw new StreamsError(code, reasonFor(code, error), { node: source.name, topic }, { cause: error })
    }
    if (source.onInvalid.kind === 'fail') {
      const stop = code === 'INVALID_TIMESTAMP' ? code : 'INVALID_RECORD'
      throw new StreamsError(
        stop,
        `record at ${topic}-${partition} offset ${record.offset}: ${reasonFor(stop, error)}; correct the producer, or give the source onInvalid: 'skip' or a { deadLetter } topic`,
        { topic, partition, offset: record.offset, node: source.name },
        { cause: error },
      )
    }
    task.dropped(source.name, 'invalid record')
    if (source.onInvalid.kind === 'skip') return
    const out = this.#out
    out.key = record.bytes
    out.keyStart = record.keyStart
    out.keyEnd = record.keyEnd
    out.value = record.bytes
    out.valueStart = record.valueStart
    out.valueEnd = record.valueEnd
    out.timestamp = Math.max(0, record.timestamp)
    out.headers = [
      ...record.headers,
      header('exception', nameOf(error)),
      header('message', error instanceof Error ? error.message : String(error)),
      header('topic', topic),
      header('partition', String(partition)),
      header('offset', String(record.offset)),
    ]
    task.collector.output(this.#place(task, source.onInvalid.topic, partition), out)
  }

  #place(task: Task, topic: string, inputPartition: number): StagedPlace {
    const partition = Math.max(0, inputPartition) % (this.#partitions.get(topic) ?? 1)
    const name = `${task.id} ${topic} ${partition}`
    const place = this.#places.get(name) ?? task.collector.place({ topic, partition }, 'others', task.record.node)
    this.#places.set(name, place)
    return place
  }
}

function header(name: string, text: string): Header {
  return { key: `__millrace.errors.${name}`, value: Buffer.from(text) }
}

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'Error'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}
