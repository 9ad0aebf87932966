import { HoldfastError } from '../contracts/errors.js';
import type { ChainStatus } from '../contracts/status.js';

/** The output of a completed chain. Throws `NOT_FINISHED` while it is open, `FAILED` when it has ended without one. */
export function resultOf({ id, state, holds, message, output }: ChainStatus): unknown {
  if (state === 'completed') return output;
  const why = message === null ? '' : `: ${message}`;
  if (state === 'failed' || state === 'cancelled') {
    throw new HoldfastError('FAILED', `${id} is ${state}${why}`, `See \`holdfast status ${id}\`.`);
  }
  const at =
    holds.length === 0 ? why : ` at ${holds.map((hold) => `${hold.step} (${hold.id}, ${hold.reason})`).join(', ')}`;
  throw new HoldfastError(
    'NOT_FINISHED',
    `${id} has no output yet: it is ${state}${at}`,
    `See \`holdfast status ${id}\`.`,
  );
}
