/** States of a chain. `stuck`: its workflow is open but its code keeps failing, so that only a deploy can help. */
export type ChainState = 'queued' | 'running' | 'held' | 'stuck' | 'completed' | 'failed' | 'cancelled';

/** States in which nothing more will happen. */
export type ClosedState = Extract<ChainState, 'completed' | 'failed' | 'cancelled'>;

const CLOSED_STATES: readonly ClosedState[] = ['completed', 'failed', 'cancelled'];

export function isClosed(state: ChainState): state is ClosedState {
  return (CLOSED_STATES as readonly ChainState[]).includes(state);
}

/** The tenant of work that names none. */
export const DEFAULT_TENANT = 'default';

/** Temporal's fairness keys hold 64 bytes, and the tenant is the fairness key. */
export const MAX_TENANT_BYTES = 64;
