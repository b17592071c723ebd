/** The log of a job in its data directory: opened, and reserved for one source. */
import { type Topic, topic } from 'millrace'
import { type EmbeddedLog, LogError, openLog } from 'millrace/log'
import { z } from 'zod'
import { JobError } from './job-error.ts'
import { lastRecords } from './read-topic.ts'

export interface JobLogOptions {
  readonly dataDir: string
  /** Small files, so that tests reach the end of many files. */
  readonly segmentBytes?: number | undefined
  readonly journalFileBytes?: number | undefined
  readonly checkpointEvery?: number | undefined
}

/** Opens the log, or fails with one line that says why not. */
export async function openJobLog(options: JobLogOptions): Promise<EmbeddedLog> {
  const { dataDir, segmentBytes, journalFileBytes, checkpointEvery } = options
  try {
    return await openLog({
      dataDir,
      ...(segmentBytes === undefined ? {} : { segmentBytes }),
      ...(journalFileBytes === undefined
        ? {}
        : { journalFileBytesMin: journalFileBytes, journalFileBytesMax: journalFileBytes }),
      ...(checkpointEvery === undefined ? {} : { checkpointEveryCommits: checkpointEvery }),
    })
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
    if (error instanceof LogError && error.code === 'DIRECTORY_IN_USE')
      throw new JobError(`--data-dir ${dataDir} is in use: another process has it open; stop it or name another one`)
    throw new JobError(`cannot open --data-dir ${dataDir}: ${reason}`)
  }
}

/** The source that the data directory was filled from, so that nothing else is mixed into it. */
const sourceOfLines: Topic<string, string> = topic('source-of-lines', {
  key: z.string(),
  value: z.string(),
  format: 'string',
  partitions: 1,
})

/**
 * Records the source of the directory, or refuses if it has another one. Null is a source without any line yet: its
 * identity is not known, so nothing is recorded.
 */
export async function claimFor(identity: string | null, log: EmbeddedLog, dataDir: string): Promise<void> {
  await log.admin.ensureTopics([sourceOfLines])
  const [claimed] = await lastRecords(log, sourceOfLines)
  if (!claimed) {
    if (identity === null) return
    const producer = log.producer()
    await producer.send({ topic: sourceOfLines, key: 'source', value: identity })
    await producer.close()
    return
  }
  if (claimed.value === identity) return
  throw new JobError(
    `--data-dir ${dataDir} holds ${claimed.value}, not ${identity ?? 'a source without lines'}: run with the options that made it, or name another --data-dir`,
  )
}
