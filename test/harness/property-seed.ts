import * as fc from 'fast-check'

/**
 * Property tests generate the same cases in every run, so that a change is judged and not its luck. Other cases:
 * `PROPERTY_SEED=7 npm test`. A failure prints its seed and path.
 */
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(process.env['PROPERTY_SEED'] ?? 1) })
