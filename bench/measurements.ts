import { actions } from './actions.js';
import { cost } from './cost.js';
import { deadLetters } from './dead-letters.js';
import { heldMemory } from './held-memory.js';
import { history } from './history.js';
import { latency } from './latency.js';
import { longChain } from './long-chain.js';
import type { Measurement } from './measurement.js';
import { throughput } from './throughput.js';

/** All measurements by name, in the order of the report. */
export const MEASUREMENTS: Readonly<Record<string, Measurement>> = {
  throughput,
  latency,
  actions,
  history,
  'long-chain': longChain,
  cost,
  'dead-letters': deadLetters,
  // Last: its chains stay open.
  'held-memory': heldMemory,
};
