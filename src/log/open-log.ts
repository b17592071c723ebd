import { randomBytes } from 'node:crypto'
import { SystemClock, type Clock } from '../base/clock.ts'
import { NodeDisk, type Disk } from '../base/disk.ts'
import { errorLogger, type Logger, silentLogger } from '../base/logger.ts'
import type { OptionNames } from '../base/option-names.ts'
import { shown } from '../base/shown.ts'
import { checkOptions } from './api/checked-options.ts'
import { LogError } from './api/errors.ts'
import { openBroker } from './broker/open-broker.ts'
import { logConfig, logOptionNames, type LogOptions } from './config.ts'
import { EmbeddedLog } from './embedded-log.ts'
import { checkNodeVersion } from './storage/node-version.ts'
import { lockDirectory, noDirectoryLock } from './storage/directory-lock.ts'

/** {@link LogOptions}, and what tests and simulations use in place of the machine. */
export interface OpenLogOptions extends LogOptions {
  /**
   * Where diagnostics go. Default: errors of what works in the background (damage that the scrubber finds, a checkpoint that
   * fails) go to standard error, everything else nowhere; with another disk, all of it nowhere.
   */
  readonly logger?: Logger
  /** Default: the system's time. */
  readonly clock?: Clock
  /**
   * Default: the file system, with a lock on the directory. Any other disk is used without threads and without a lock.
   */
  readonly disk?: Disk
  /** Where the ids of topics and of the journal come from. Default: the system's randomness. */
  readonly randomBytes?: (count: number) => Uint8Array
  /** For tests: how many offsets to skip before the batches of each entry. Default: none. */
  readonly nextGap?: () => number
}

export const openLogOptionNames: OptionNames<OpenLogOptions> = {
  ...logOptionNames,
  logger: true,
  clock: true,
  disk: true,
  randomBytes: true,
  nextGap: true,
}

/**
 * Opens the log in a directory, which is created if necessary. Only one process at a time may have a directory open.
 * After a crash, everything is first brought to the last durable commit. Rejects with INVALID_CONFIG, UNSUPPORTED_NODE,
 * DIRECTORY_IN_USE, FOREIGN_DIRECTORY, NOT_WRITABLE or NEWER_FORMAT, and with JOURNAL_MISSING, JOURNAL_GAP, JOURNAL_ROT or
 * CHECKPOINT_ROT if durable data was lost; nothing is changed then.
 * @example const log = await openLog({ dataDir: 'data' })
 */
export async function openLog(options: OpenLogOptions): Promise<EmbeddedLog> {
  checkNodeVersion(process.versions.node)
  checkOptions('openLog', options, openLogOptionNames)
  const { logger: given, clock = new SystemClock(), disk, randomBytes: random, nextGap, ...rest } = options
  const logger = given ?? (disk === undefined ? errorLogger : silentLogger)
  checkMachine(options)
  const config = logConfig(disk === undefined ? rest : { ...rest, threads: false })
  const broker = await openBroker({
    config,
    disk: disk ?? new NodeDisk(),
    clock,
    logger,
    lock: disk === undefined ? lockDirectory : () => noDirectoryLock,
    randomBytes: random ?? ((count) => randomBytes(count)),
    ...(nextGap === undefined ? {} : { nextGap }),
  })
  return new EmbeddedLog(broker, clock, config)
}

/** Checks only the first method that is needed of each, because these options are for tests. */
function checkMachine({ logger, clock, disk, randomBytes: random, nextGap }: OpenLogOptions): void {
  const parts: readonly (readonly [string, unknown, string])[] = [
    ['logger', logger, typeof logger?.error],
    ['clock', clock, typeof clock?.now],
    ['disk', disk, typeof disk?.exists],
    ['randomBytes', random, typeof random],
    ['nextGap', nextGap, typeof nextGap],
  ]
  for (const [name, given, kind] of parts)
    if (given !== undefined && kind !== 'function')
      throw new LogError('INVALID_CONFIG', `${name} is ${shown(given)}: leave it out, or give one that works`, { name })
}
