import { NodeDisk } from '../base/disk.ts'
import { silentLogger } from '../base/logger.ts'
import type { EmbeddedLog } from '../log/embedded-log.ts'
import { openLog } from '../log/open-log.ts'
import { UsageError } from './terminal.ts'

/** Runs a command on the log of an existing directory, and always closes the log. */
export async function withLog<T>(dataDir: string, use: (log: EmbeddedLog) => Promise<T>): Promise<T> {
  checkDirectory(dataDir)
  // The log is open for a moment only: threads would take longer to start than they save.
  const log = await openLog({ dataDir, threads: false, logger: silentLogger })
  try {
    return await use(log)
  } finally {
    await log.close()
  }
}

/** Requires an existing data directory, because a mistyped name must not create a new, empty log. */
export function checkDirectory(dataDir: string): void {
  if (new NodeDisk().exists(`${dataDir}/millrace.json`)) return
  throw new UsageError(`${dataDir} is not a data directory of millrace: name one with --data-dir`)
}
