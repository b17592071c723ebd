import { openLog } from 'millrace'
import { DiskError, MemoryDisk } from 'millrace/testing'
import { expect, test } from 'vitest'
import type { SourceLine } from '../../examples/shared/line-loader.ts'
import { lines } from '../../examples/web-activity/events.ts'
import { feed } from '../../examples/web-activity/lines/feed.ts'

test('live traffic ends with the error of the log when a line cannot be written, also if no other line follows', async () => {
  const disk = new MemoryDisk()
  const log = await openLog({ dataDir: '/log', disk })
  await log.admin.ensureTopics([lines])
  async function* arriving(): AsyncGenerator<readonly SourceLine[]> {
    yield [{ position: 1, key: 'ada', line: 'one', timestamp: 1 }]
    disk.onOperation = ({ path }) => {
      throw new DiskError('ENOSPC', 'write', path)
    }
    yield [{ position: 2, key: 'ada', line: 'two', timestamp: 2 }]
    // The next line is not due yet.
    await new Promise(() => undefined)
  }

  await expect(feed(log, { lines: arriving })).rejects.toMatchObject({ code: 'DISK_FULL' })
  await log.close().catch(() => undefined)
})
