import { runLives } from './life-command.ts'

/** `npm run torture:clients -- --lives N --seed S`: random lives of producers, transactions and consumer groups. */
await runLives('clients')
