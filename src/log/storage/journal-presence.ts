import type { Disk } from '../../base/disk.ts'
import { LogError } from '../api/errors.ts'
import { journalFileNumber } from '../journal/journal-files.ts'
import { partitionMetadataFile, partitionOfName } from './segment/segment-files.ts'

/**
 * Throws JOURNAL_MISSING if there are partitions but neither a checkpoint nor a journal. Without a checkpoint, all
 * knowledge of the log is in its journal; without this check, recovery would mistake the partitions for leftovers.
 */
export function checkJournalThere(disk: Disk, dataDir: string, journalDirectory: string): void {
  if (disk.exists(journalDirectory) && disk.list(journalDirectory).some((name) => journalFileNumber(name) !== null))
    return
  const partitions = disk
    .list(dataDir)
    .filter((name) => partitionOfName(name) !== null && disk.exists(`${dataDir}/${name}/${partitionMetadataFile}`))
  if (partitions.length === 0) return
  throw new LogError(
    'JOURNAL_MISSING',
    `${dataDir} has partitions (${partitions.slice(0, 3).join(', ')}), but no journal in ${journalDirectory}: restore it, because the segments lack what it held`,
    { dataDir, partitions: partitions.slice(0, 10) },
  )
}
