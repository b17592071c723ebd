import type { Terminal } from '../terminal.ts'

/** The progress of long work over partitions. The totals are known from the start. */
export interface BytesOfPartitions {
  readonly bytes: number
  readonly bytesTotal: number
  readonly partitions: number
  readonly partitionsTotal: number
}

/** `42 %, 1,234 of 2,900 MiB, 3 of 8 partitions`. */
export function byteProgress(terminal: Terminal): (progress: BytesOfPartitions) => void {
  return ({ bytes, bytesTotal, partitions, partitionsTotal }) => {
    const share = bytesTotal === 0 ? 100 : Math.floor((bytes * 100) / bytesTotal)
    const done = `${mebibytes(bytes)} of ${mebibytes(bytesTotal)} MiB`
    terminal.progress(`${share} %, ${done}, ${partitions} of ${partitionsTotal} partitions`)
  }
}

export function mebibytes(bytes: number): string {
  return (bytes / 1024 / 1024).toLocaleString('en-US', { maximumFractionDigits: 1 })
}
