import { z } from 'zod'

/** What the rows that validate expect of an event of the input. */
export const eventSchema: z.ZodType<Event> = z.object({
  id: z.string(),
  dt: z.string(),
  repo: z.string(),
  type: z.string(),
  actor: z.string(),
  age: z.union([z.string(), z.number()]).optional(),
  action: z.string().optional(),
  commits: z.union([z.string(), z.number()]).optional(),
})

export interface Event {
  id: string
  dt: string
  repo: string
  type: string
  actor: string
  age?: string | number | undefined
  action?: string | undefined
  commits?: string | number | undefined
}
