import { LogError } from '../api/errors.ts'
import type { TopicConfig } from '../api/topic.ts'

/**
 * Limits how far a record's timestamp may be from the log's clock. A bad timestamp cannot be corrected later. Retention
 * is not affected, as it uses the time of the append, but a single record from the far future moves the stream time of
 * its readers ahead of all other records for good.
 *
 * Kafka: `message.timestamp.after.max.ms` and `message.timestamp.before.max.ms`.
 */
export function checkTimestampBounds(name: string, config: TopicConfig, timestamp: number, now: number): void {
  const { timestampAfterMaxMs, timestampBeforeMaxMs } = config
  if (timestamp - now > timestampAfterMaxMs)
    throw refused(name, timestamp, now, `ahead of the clock, at most ${timestampAfterMaxMs} are`, 'timestampAfterMaxMs')
  if (now - timestamp > timestampBeforeMaxMs)
    throw refused(name, timestamp, now, `behind the clock, at most ${timestampBeforeMaxMs} are`, 'timestampBeforeMaxMs')
}

function refused(name: string, timestamp: number, now: number, how: string, option: string): LogError {
  return new LogError(
    'INVALID_TIMESTAMP',
    `timestamp ${timestamp} of a record for ${name} is ${Math.abs(timestamp - now)} ms ${how} allowed: correct the time, which counts milliseconds, or raise ${option} of the topic`,
    { name, timestamp, now, [option]: Math.abs(timestamp - now) },
  )
}
