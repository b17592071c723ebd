import { withLog } from '../open-directory.ts'
import type { AddCommand } from '../program.ts'
import { textTable } from '../text-table.ts'
import { withDirectory, type DirectoryOptions } from './command-options.ts'

/** `millrace groups list`: the groups of consumers and applications, and groups with offsets only. */
export const groupsList: AddCommand = (parent, terminal) => {
  const command = parent.command('list').description('list groups: consumers, applications, and offsets alone')
  withDirectory(command).action(async ({ dataDir, json }: DirectoryOptions) => {
    await withLog(dataDir, async ({ admin }) => {
      const groups = admin.listGroups().map((group) => {
        const { partitions } = admin.describeGroup(group.group)
        return {
          ...group,
          partitions: partitions.length,
          lag: partitions.reduce((sum, { lag }) => sum + (lag ?? 0), 0),
        }
      })
      if (json) {
        for (const group of groups) await terminal.out(JSON.stringify(group))
        return
      }
      if (groups.length === 0) {
        await terminal.out(`no groups in ${dataDir}`)
        return
      }
      const rows = groups.map(({ group, kind, generation, partitions, lag }) => [
        group,
        kind,
        generation < 0 ? null : generation,
        partitions,
        lag,
      ])
      await terminal.out(textTable(['group', 'kind', 'generation', 'partitions', 'lag'], rows))
    })
  })
}
