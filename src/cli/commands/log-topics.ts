import { isInternalTopic } from '../../log/api/internal-topics.ts'
import { withLog } from '../open-directory.ts'
import type { AddCommand } from '../program.ts'
import { textTable } from '../text-table.ts'
import { withDirectory, type DirectoryOptions } from './command-options.ts'

/** `millrace log topics`: lists the topics with offsets and sizes. */
export const logTopics: AddCommand = (parent, terminal) => {
  const command = parent
    .command('topics')
    .description('list topics with their partitions, offsets and bytes')
    .option('--internal', "the log's own topics too", false)
  withDirectory(command).action(async ({ dataDir, json, internal }: DirectoryOptions & { internal: boolean }) => {
    await withLog(dataDir, async ({ admin }) => {
      const sizes = admin.describeLogDirs()
      const topics = admin.listTopics({ internal }).map(({ name, partitions, config }) => {
        const own = sizes.filter(({ at }) => at.topic === name)
        return {
          topic: name,
          partitions,
          cleanupPolicy: config.cleanupPolicy,
          // Offsets have gaps, so this is an upper bound of the number of records; the column is called offsets.
          offsets: own.reduce((sum, { start, end }) => sum + end - start, 0),
          bytes: own.reduce((sum, { bytes }) => sum + bytes, 0),
          internal: isInternalTopic(name),
        }
      })
      if (json) {
        for (const topic of topics) await terminal.out(JSON.stringify(topic))
        return
      }
      if (topics.length === 0) {
        await terminal.out(`no topics in ${dataDir}`)
        return
      }
      const rows = topics.map((topic) => [
        topic.topic,
        topic.partitions,
        topic.cleanupPolicy,
        topic.offsets,
        topic.bytes,
      ])
      await terminal.out(textTable(['topic', 'partitions', 'cleanup', 'offsets', 'bytes'], rows))
    })
  })
}
