import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../../base/assert.ts'
import { type FlushReply, type FlushRequest, flushIdle, flushStopped, flushWriting } from './flush-message.ts'
import { type EmptyStores, LmdbEnvironment } from './lmdb-environment.ts'

/*
 * The flush thread: applies batches to the stores of one worker, each as one synced transaction, so that a sync never
 * blocks the worker. It ends only when told to, between transactions and with every environment closed; it is never
 * terminated.
 */

assert(parentPort !== null, 'the flush thread runs as a worker thread only')
const port = parentPort
const state = new Int32Array((workerData as { state: SharedArrayBuffer }).state)
const environments = new Map<string, LmdbEnvironment>()
const empty: EmptyStores = new Map()

port.on('message', (request: FlushRequest) => {
  if (request.kind === 'stop') {
    void stop()
    return
  }
  void answer(request).then((error) => {
    const memory = error === null && request.kind === 'flush' ? memoryOf(request.bytes) : null
    port.postMessage({ id: request.id, error, memory } satisfies FlushReply, memory === null ? [] : [memory])
  })
})

function memoryOf({ buffer }: Uint8Array): ArrayBuffer | null {
  return buffer instanceof ArrayBuffer ? buffer : null
}

async function answer(request: Exclude<FlushRequest, { kind: 'stop' }>): Promise<Error | null> {
  try {
    if (request.kind === 'flush') flush(request)
    else await release(request.directory)
    return null
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

function flush(request: Extract<FlushRequest, { kind: 'flush' }>): void {
  if (Atomics.compareExchange(state, 0, flushIdle, flushWriting) === flushStopped) throw new Error('the process ends')
  try {
    let environment = environments.get(request.directory)
    if (environment === undefined) {
      environment = new LmdbEnvironment(request.directory, request.spaces, empty)
      environments.set(request.directory, environment)
    }
    const { clear, bytes, count, position } = request
    environment.apply({ clear, operations: { bytes, count }, position })
  } finally {
    Atomics.store(state, 0, flushIdle)
    Atomics.notify(state, 0)
  }
}

async function release(directory: string): Promise<void> {
  const environment = environments.get(directory)
  environments.delete(directory)
  await environment?.close()
}

async function stop(): Promise<void> {
  for (const environment of environments.values()) await environment.close()
  port.close()
}
