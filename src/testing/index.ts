export { SeededRandom } from '../base/seeded-random.ts'
export { DiskError, type DiskErrorCode, DiskFull, PowerCut } from './disk-error.ts'
export { ManualClock } from './manual-clock.ts'
export { type DiskFaults, type DiskOperation, type DiskOperationKind, MemoryDisk } from './memory-disk.ts'
