/**
 * An error that the user can correct: printed as one line, with exit code 2. Any other error is a fault of the program.
 */
export class JobError extends Error {
  override readonly name: string = 'JobError'
}
