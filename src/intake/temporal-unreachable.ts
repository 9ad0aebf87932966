import { NamespaceNotFoundError } from '@temporalio/client';
import { HoldfastError } from '../contracts/errors.js';

// UNAVAILABLE, DEADLINE_EXCEEDED, and for a server that does not let us in PERMISSION_DENIED and UNAUTHENTICATED, as in
// the gRPC specification.
const UNREACHABLE_CODES: readonly number[] = [14, 4, 7, 16];

/** The error for people when there is no Temporal at an address. */
export function temporalUnreachable(address: string | null, cause?: unknown): HoldfastError {
  if (address === null) {
    return new HoldfastError(
      'TEMPORAL_UNREACHABLE',
      'There is no Temporal: TEMPORAL_ADDRESS is not set, and no embedded one runs.',
      'Set TEMPORAL_ADDRESS, or start the embedded one with `npx holdfast dev`.',
    );
  }
  return new HoldfastError(
    'TEMPORAL_UNREACHABLE',
    `Temporal at ${address} cannot be reached: ${rootMessage(cause)}.`,
    'Start it (`npx holdfast dev` for the embedded one), or correct TEMPORAL_ADDRESS.',
    { cause },
  );
}

/** Why an error says that there is no Temporal to talk to; undefined when it says something else. */
export function unreachableReason(error: unknown): string | undefined {
  for (let current = error; current instanceof Error; current = current.cause) {
    const { code } = current as { code?: unknown };
    const isUnreachable =
      (typeof code === 'number' && UNREACHABLE_CODES.includes(code)) ||
      current instanceof NamespaceNotFoundError ||
      /Failed to connect before the deadline/i.test(current.message);
    if (isUnreachable) return rootMessage(error);
  }
  return undefined;
}

/** What an error comes from, without the full stop at its end. */
export function rootMessage(error: unknown): string {
  let root = error;
  while (root instanceof Error && root.cause instanceof Error) root = root.cause;
  return root instanceof Error ? root.message.replace(/\.$/, '') : String(root);
}
