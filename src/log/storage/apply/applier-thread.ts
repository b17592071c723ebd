import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { assert } from '../../../base/assert.ts'
import { NodeDisk } from '../../../base/disk.ts'
import type { WrittenGroup } from '../../journal/journal.ts'
import { InlineApplier, type ApplierOptions } from './inline-applier.ts'
import { failureOf, type ApplierCommand, type ApplierReport } from './threaded-applier.ts'

/** Bytes applied between two reports. */
const bytesPerReportMax = 8 * 1024 * 1024

/**
 * The applier thread: takes all queued groups, applies them with one write per segment, and reports once. Everything in
 * it is synchronous, except the syncs: groups are applied meanwhile.
 */
function run(options: Omit<ApplierOptions, 'disk'>): void {
  const port = parentPort
  assert(port !== null, 'the applier thread needs a parent')
  const report = (message: ApplierReport): void => port.postMessage(message)
  const applier = new InlineApplier(
    { ...options, disk: new NodeDisk() },
    {
      applied: (sequence) => report({ kind: 'applied', sequence }),
      failed: (error) => report({ kind: 'failed', failure: failureOf(error) }),
    },
  )

  port.on('message', (first: ApplierCommand) => {
    let groups: WrittenGroup[] = []
    let bytes = 0
    const applyGroups = (): void => {
      applier.applyAll(groups)
      groups = []
      bytes = 0
    }
    for (let command: ApplierCommand | undefined = first; command !== undefined; command = nextCommand()) {
      if (command.kind === 'apply') {
        const { sequence, memory } = command
        groups.push({ sequence, memory })
        bytes += memory.length
        if (bytes >= bytesPerReportMax) applyGroups()
        continue
      }
      applyGroups()
      if (command.kind === 'checkpoint') {
        const { id } = command
        applier.checkpoint(command.state).then(
          () => report({ kind: 'checkpointed', id, failure: null }),
          (error: unknown) => report({ kind: 'checkpointed', id, failure: failureOf(error) }),
        )
      } else {
        applier.close().then(
          () => report({ kind: 'closed', failure: null }),
          (error: unknown) => report({ kind: 'closed', failure: failureOf(error) }),
        )
      }
    }
    applyGroups()
  })

  function nextCommand(): ApplierCommand | undefined {
    if (port === null) return undefined
    const received: { message: ApplierCommand } | undefined = receiveMessageOnPort(port)
    return received?.message
  }
}

run(workerData as Omit<ApplierOptions, 'disk'>)
