import { receiveMessageOnPort, workerData } from 'node:worker_threads'
import { assert } from '../../base/assert.ts'
import { SystemClock } from '../../base/clock.ts'
import { NodeDisk } from '../../base/disk.ts'
import { JournalWriter } from './journal-writer.ts'
import { failure, perform, type JournalThreadSetup, type ThreadCommand, type ThreadMessage } from './writer-backend.ts'

/**
 * The journal thread: reports that it is ready, is told where the journal continues, then executes commands one after
 * another, with synchronous disk calls. Waiting for the event loop or the thread pool would cost a commit more than its
 * sync does. Between commands it prepares the next file, one step at a time, then sleeps until the counter changes.
 *
 * Only a sync in the background needs the event loop: until it is over, the loop takes a turn of it after each command.
 */
async function run(setup: JournalThreadSetup): Promise<void> {
  const { port, signal } = setup
  const clock = new SystemClock()
  const report = (message: ThreadMessage): void => port.postMessage(message)
  let writer: JournalWriter | null = null
  let syncing: Promise<void> | null = null
  try {
    report({ kind: 'ready' })
    for (;;) {
      const seen = Atomics.load(signal, 0)
      const received: { message: ThreadCommand } | undefined = receiveMessageOnPort(port)
      if (received?.message.kind === 'begin') {
        writer = new JournalWriter(new NodeDisk(), received.message.start, setup.sync)
      } else if (received !== undefined) {
        assert(writer !== null, 'the journal thread is told first where to begin')
        if (received.message.kind === 'sync') {
          syncing = sync(writer).finally(() => (syncing = null))
        } else {
          const done = perform(writer, received.message)
          if (done !== null) report(done)
          if (done !== null && done.kind !== 'done') return
        }
      }
      const idle = received === undefined && (writer === null || !writer.prepare())
      if (syncing !== null) await Promise.race([syncing, idle ? changeOf(signal, seen) : clock.nextTurn()])
      else if (idle) Atomics.wait(signal, 0, seen)
    }
  } catch (error) {
    report(failure(error))
  }

  async function sync(writer: JournalWriter): Promise<void> {
    await writer.syncInBackground()
    report({ kind: 'synced', durableSequence: writer.durableSequence })
  }
}

/** Resolves when the counter no longer has the value `seen`. */
async function changeOf(signal: JournalThreadSetup['signal'], seen: number): Promise<void> {
  await Atomics.waitAsync(signal, 0, seen).value
}

void run(workerData as JournalThreadSetup)
