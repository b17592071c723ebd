/** What a run has tried and found. */
export class PowerTotals {
  /** Disks as a power cut left them, opened and checked. */
  states = 0
  /** Of these, cuts inside a recovery. */
  insideRecovery = 0
  /** Operations of a disk at which the power was cut. */
  operations = 0
  lives = 0
  readonly violations: string[] = []
}
