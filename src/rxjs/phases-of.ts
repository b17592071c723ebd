import { Observable } from 'rxjs'
import type { Streams } from '../application.ts'
import type { StreamsPhase } from '../streams/streams-lifecycle.ts'

/** The part of an application that is needed to observe its phases. */
export type ObservedStreams = Pick<Streams, 'phase' | 'onPhase' | 'finished'>

/**
 * The phases of an application, beginning with the current one. Completes after `closed`; after `failed`, errors with
 * the error that made the application fail. Unsubscribing does not affect the application.
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
    // Registered before the first phase is emitted, because an observer may cause the next phase when it receives it.
    const forget = streams.onPhase(tell)
    tell(streams.phase)
    return forget
  })
}
