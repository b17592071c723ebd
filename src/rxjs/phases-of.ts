import { Observable } from 'rxjs'
import type { Streams } from '../application.ts'
import type { StreamsPhase } from '../streams/streams-lifecycle.ts'

/** What is asked of an application to observe its life. */
export type ObservedStreams = Pick<Streams, 'phase' | 'onPhase' | 'finished'>

/**
 * The phases of an application, the current one first. Completes behind `closed`; behind `failed` comes what made it
 * fail, as the observable's error. Unsubscribing leaves the application alone.
 * @example phasesOf(app).pipe(filter((phase) => phase === 'running')).subscribe(() => console.log('ready'))
 */
export function phasesOf(streams: ObservedStreams): Observable<StreamsPhase> {
  return new Observable((subscriber) => {
    const tell = (phase: StreamsPhase): void => {
      subscriber.next(phase)
      if (phase === 'closed') subscriber.complete()
      if (phase !== 'failed') return
      streams.finished().then(
        () => subscriber.complete(),
        (error: unknown) => subscriber.error(error),
      )
    }
    // Before the first is told: an observer that hears it may bring the next one about.
    const forget = streams.onPhase(tell)
    tell(streams.phase)
    return forget
  })
}
