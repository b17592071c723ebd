/**
 * Writes the rows of the job's tables into their topics, each once, however often the process is killed. A partition
 * gets its rows in order, and a crash keeps a prefix of them, so as many rows are skipped as are already there.
 */
import type { Topic } from 'millrace'
import { type EmbeddedLog, partitionOfKey } from 'millrace/log'
import { polls } from '../../shared/read-topic.ts'
import { type BotRules, botRulesTopic, pages, pageViews, rulesKey, users } from '../events.ts'
import type { PageRow, UserRow } from '../traffic/shop.ts'

/** The tables that belong to a source. */
export interface TableRows {
  readonly users: readonly UserRow[]
  readonly pages: readonly PageRow[]
  readonly botRules: BotRules
}

interface Row<V> {
  readonly key: string
  readonly value: V
  readonly timestamp: number
}

/** Creates the topics of the tables and fills them. Pages and rules are dated before every line. */
export async function loadTables(log: EmbeddedLog, rows: TableRows): Promise<void> {
  await log.admin.ensureTopics([pageViews, users, pages, botRulesTopic])
  await loadRows(
    log,
    users,
    rows.users.map(({ visitor, user, at }) => ({ key: visitor, value: user, timestamp: at })),
  )
  await loadRows(
    log,
    pages,
    rows.pages.map(({ path, page }) => ({ key: path, value: page, timestamp: 0 })),
  )
  await loadRows(log, botRulesTopic, [{ key: rulesKey, value: rows.botRules, timestamp: 0 }])
}

async function loadRows<V>(log: EmbeddedLog, topic: Topic<string, V>, rows: readonly Row<V>[]): Promise<void> {
  const partitions = topic.partitions ?? 1
  const there = Array.from({ length: partitions }, () => 0)
  for await (const records of polls(log, topic))
    for (const { partition } of records) there[partition] = (there[partition] ?? 0) + 1
  const producer = log.producer()
  for (const { key, value, timestamp } of rows) {
    const partition = partitionOf(key, partitions)
    const left = there[partition] ?? 0
    there[partition] = left - 1
    if (left > 0) continue
    const record = { topic, partition, key, value, timestamp }
    while (!producer.post(record)) await producer.ready()
  }
  await producer.close()
}

const encoder = new TextEncoder()

function partitionOf(key: string, partitions: number): number {
  const bytes = encoder.encode(key)
  return partitionOfKey(bytes, 0, bytes.length, partitions)
}
