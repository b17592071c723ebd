export { type OpenLogOptions, openLog } from './open-log.ts'
export { EmbeddedLog } from './embedded-log.ts'
