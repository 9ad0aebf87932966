import type { SimulatedClaude } from '../../src/embedded/simulated-claude/server.js';
import type { Plan } from './scenarios.js';
import type { PlannedChain } from './workload.js';

/** The task queue of the bare side. */
export const BARE_QUEUE = 'bare-quota';

/** One side of a scenario, ready to run chains. */
export interface Side {
  /** Submits a chain; resolves when it has completed, and rejects when it never will. */
  run(chain: PlannedChain): Promise<void>;
  /** Ends what the side has started, also chains that are under way. */
  stop(): Promise<void>;
}

export type StartSide = (plan: Plan, simulator: SimulatedClaude) => Promise<Side>;
