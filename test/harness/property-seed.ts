import * as fc from 'fast-check'

/**
 * Property tests generate the same cases in every run, so that a change is judged and not its luck. Other cases:
 * `PROPERTY_SEED=7 npm test`. A failure prints its seed and path.
 *
 * A list with a `maxLength` gets up to that many items. By default they would be 10 at most, whatever the test says, and
 * histories of 10 steps hardly ever contain a commit, a flush and a restart with changes in between.
 */
fc.configureGlobal({
  ...fc.readConfigureGlobal(),
  seed: Number(process.env['PROPERTY_SEED'] ?? 1),
  defaultSizeToMaxWhenMaxSpecified: true,
})
