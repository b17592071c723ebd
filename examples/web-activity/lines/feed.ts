/** Lines into the log as they arrive. */
import type { EmbeddedLog } from 'millrace/log'
import { openLoader } from './loader.ts'
import type { LineSource } from './sources.ts'

/**
 * Loads the lines of a source until it ends. Every piece is durable before the next one is loaded: otherwise nobody would
 * hear that the log has failed, since an application without new records has nothing to commit.
 */
export async function feed(log: EmbeddedLog, source: Pick<LineSource, 'lines'>): Promise<void> {
  const loader = await openLoader(log)
  for await (const piece of source.lines()) {
    await loader.load(piece)
    await loader.flush()
  }
  await loader.close()
}
