import { shown } from '../base/shown.ts'
import { topicNameLengthMax } from '../log/api/topic.ts'
import { StreamsError } from './errors.ts'

/**
 * Throws CONFIG_INVALID unless internal topics, the group and the directory of the stores can be named after the id.
 * The directory is why `.` and `..` are refused: the stores would lie among those of other applications, or in the log.
 */
export function checkApplicationId(id: unknown): void {
  const isName = typeof id === 'string' && /^[a-zA-Z0-9._-]+$/.test(id) && id.length <= topicNameLengthMax
  if (isName && id !== '.' && id !== '..') return
  throw new StreamsError(
    'CONFIG_INVALID',
    `applicationId ${shown(id)}: use 1 to ${topicNameLengthMax} characters of a-z, A-Z, 0-9, '.', '_' and '-', and neither '.' nor '..': it becomes part of topic and directory names`,
    { applicationId: id },
  )
}
