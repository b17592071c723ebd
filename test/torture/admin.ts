import { runLives } from './life-command.ts'

/** `npm run torture:admin -- --lives N --seed S`: the same while topics, settings, records and groups change. */
await runLives('admin')
