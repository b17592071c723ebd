import { readFileSync } from 'node:fs'

/** The kernel's high-water mark of this process, in MiB. */
export function peakMib(): number {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  return Math.round((kib === undefined ? process.resourceUsage().maxRSS : Number(kib)) / 1024)
}
