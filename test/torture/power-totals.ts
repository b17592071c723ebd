/** The totals of a run. */
export class PowerTotals {
  /** The number of disk states after a power cut that were opened and checked. */
  states = 0
  /** Those of them that were cut inside a recovery. */
  insideRecovery = 0
  /** The number of disk operations at which the power was cut. */
  operations = 0
  lives = 0
  readonly violations: string[] = []
}
