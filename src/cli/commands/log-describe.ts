import { defaultTopicConfig } from '../../log/api/topic.ts'
import { withLog } from '../open-directory.ts'
import type { AddCommand } from '../program.ts'
import { counted, textTable } from '../text-table.ts'
import { withDirectory, type DirectoryOptions } from './command-options.ts'

/** `millrace log describe TOPIC`: its settings, and offsets, leader epoch, segments and bytes of each partition. */
export const logDescribe: AddCommand = (parent, terminal) => {
  const command = parent
    .command('describe <topic>')
    .description('settings of a topic, and offsets and sizes of its partitions')
  withDirectory(command).action(async (topic: string, { dataDir, json }: DirectoryOptions) => {
    await withLog(dataDir, async ({ admin }) => {
      const { name, id, partitions, config, bounds } = admin.describeTopic(topic)
      const sizes = admin.describeLogDirs().filter(({ at }) => at.topic === topic)
      const places = bounds.map(({ at, start, end, leaderEpoch }) => {
        const size = sizes.find((one) => one.at.partition === at.partition)
        return {
          partition: at.partition,
          start,
          end,
          leaderEpoch,
          segments: size?.segments ?? 0,
          bytes: size?.bytes ?? 0,
        }
      })
      if (json) {
        await terminal.out(JSON.stringify({ topic: name, id, config, partitions: places }))
        return
      }
      const defaults: { readonly [option: string]: unknown } = { ...defaultTopicConfig }
      const settings = Object.entries(config).map(([option, value]) => [
        option,
        String(value),
        defaults[option] === value ? 'default' : 'set',
      ])
      await terminal.out(`topic ${name}, id ${id}, ${counted(partitions, 'partition')}\n`)
      await terminal.out(`${textTable(['setting', 'value', ''], settings)}\n`)
      const rows = places.map((place) => [
        String(place.partition),
        place.start,
        place.end,
        place.leaderEpoch,
        place.segments,
        place.bytes,
      ])
      await terminal.out(textTable(['partition', 'start', 'end', 'epoch', 'segments', 'bytes'], rows))
    })
  })
}
