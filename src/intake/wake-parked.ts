import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { WAKE_SIGNAL } from '../contracts/messages.js';

/** How many chains are told at once: each takes the server a few milliseconds, and they all plan a call then. */
const AT_ONCE = 16;

/** Tells chains that what their parked calls wait for may be over. One that has ended needs no word. */
export async function wakeChains(temporal: Client, ids: readonly string[]): Promise<void> {
  for (let first = 0; first < ids.length; first += AT_ONCE) {
    await Promise.all(
      ids.slice(first, first + AT_ONCE).map((id) =>
        temporal.workflow
          .getHandle(id)
          .signal(WAKE_SIGNAL)
          .catch((error: unknown) => {
            if (!(error instanceof WorkflowNotFoundError)) throw error;
          }),
      ),
    );
  }
}
