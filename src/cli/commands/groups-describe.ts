import { withLog } from '../open-directory.ts'
import type { AddCommand } from '../program.ts'
import { textTable } from '../text-table.ts'
import { withDirectory, type DirectoryOptions } from './command-options.ts'

/** `millrace groups describe GROUP`: the committed offsets of a group, and its lag. */
export const groupsDescribe: AddCommand = (parent, terminal) => {
  const command = parent.command('describe <group>').description('committed offsets of a group, and its lag')
  withDirectory(command).action(async (name: string, { dataDir, json }: DirectoryOptions) => {
    await withLog(dataDir, async ({ admin }) => {
      const group = admin.describeGroup(name)
      if (json) {
        await terminal.out(JSON.stringify(group))
        return
      }
      await terminal.out(`group ${group.group}, ${group.kind}, ${group.phase}\n`)
      const rows = group.partitions.map(({ at, offset, end, lag }) => [
        at.topic,
        String(at.partition),
        offset,
        end,
        lag,
      ])
      await terminal.out(textTable(['topic', 'partition', 'committed', 'end', 'lag'], rows))
    })
  })
}
