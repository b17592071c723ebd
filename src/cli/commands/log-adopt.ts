import { adoptDirectory } from '../../log/adopt/adopt-directory.ts'
import type { AddCommand } from '../program.ts'
import { counted, plain, textTable } from '../text-table.ts'
import { byteProgress, mebibytes } from './byte-progress.ts'
import { withDirectory, type DirectoryOptions } from './command-options.ts'

/** `millrace log adopt SOURCE`: creates a data directory with everything that a broker's log directory contains. */
export const logAdopt: AddCommand = (parent, terminal) => {
  const command = parent
    .command('adopt <source>')
    .description('make the data directory from the log directory of a broker, which is only read')
  withDirectory(command).action(async (source: string, { dataDir, json }: DirectoryOptions) => {
    const report = await adoptDirectory({ source, target: dataDir, onProgress: byteProgress(terminal) })
    if (json) {
      await terminal.out(JSON.stringify(report))
      return
    }
    const rows = report.topics.map(({ name, partitions, config }) => [name, partitions, config.cleanupPolicy])
    if (rows.length > 0) await terminal.out(`${textTable(['topic', 'partitions', 'cleanup'], rows)}\n`)
    for (const note of report.notes) await terminal.out(plain(note))
    await terminal.out(
      `${counted(report.partitions, 'partition')}, ${mebibytes(report.bytes)} MiB, ${counted(report.groups, 'group')} taken over into ${dataDir}`,
    )
  })
}
