/** The page of a live job: its server, its view of the answers, and the way of clicks into the log. */
import type { EmbeddedLog } from 'millrace/log'
import { alerts, boughtAfterView, viewsPerPage, visitorSessions } from '../events.ts'
import { Clicks } from './clicks.ts'
import { LiveFeed } from './live-view.ts'
import { PageServer } from './page-server.ts'

export interface LivePage {
  /** Opens the page; the URL contains the token. */
  readonly url: string
  /** Rejects with the error that prevents the page from being updated. */
  readonly failed: Promise<never>
  /** Closes the page once; later calls wait for the first one. */
  close(): Promise<void>
}

export async function openLivePage(
  log: EmbeddedLog,
  { port, now }: { readonly port: number; readonly now: () => number },
): Promise<LivePage> {
  await log.admin.ensureTopics([viewsPerPage, visitorSessions, boughtAfterView, alerts])
  const clicks = new Clicks(log, now)
  const server = await PageServer.open({ port, clicks, now })
  const feed = new LiveFeed(log, now, (state) => server.show(state))
  let closed: Promise<void> | null = null
  const close = async (): Promise<void> => {
    await server.close()
    await clicks.close()
    await feed.close()
  }
  return { url: server.url, failed: feed.failed, close: () => (closed ??= close()) }
}
