import { workflowInfo } from '@temporalio/workflow';
import type { ChainRef } from '../contracts/activities.js';
import type { HoldRequest, SettledDecision } from '../contracts/holds.js';

/** A hold that this run waits at. */
export interface OpenHold {
  readonly request: HoldRequest;
  decision?: SettledDecision;
}

/** What `continueAsNew` hands to the next run. */
export interface Lineage {
  /** How often the author continued as new. Part of each call's hash: the same call in the next run is a new call. */
  readonly generation: number;
  /** How often each step was called, so that call numbers and hold ids go on. */
  readonly calls: Readonly<Record<string, number>>;
}

/**
 * What the engine remembers during one run of a chain. Module state, because Temporal gives each workflow its own copy of
 * the modules; all of it follows from history.
 */
export const engineState = {
  generation: 0,
  calls: {} as Record<string, number>,
  /** How often each (step, input hash) was called in this run: the occurrence of the next call. */
  occurrences: {} as Record<string, number>,
  /** Calls that are open, as `step call`, and how many of each step this run has finished: for people. */
  openSteps: new Set<string>(),
  finishedSteps: {} as Record<string, number>,
  /** Those of the open calls that wait outside of every queue, and what for: for people. */
  parkedSteps: new Map<string, string>(),
  openHolds: new Map<string, OpenHold>(),
  /** Decisions of this run, so that somebody who comes second is told. */
  decided: new Map<string, SettledDecision>(),
  /** How many decisions this run has handed to the store. */
  decisions: 0,
  /** How often somebody has said that what parked calls wait for may have changed. */
  wakes: 0,
  /** What the chain was started with: keys of its scopes may follow from it. */
  input: undefined as unknown,
  /** The chain's own scopes, once it has taken them; lent while others may have them. */
  scopes: undefined as { readonly releaseOnHold: boolean; lent: boolean } | undefined,
  warnedOfLength: false,
};

/** Takes the next number of a counter: 0 for the first. */
export function take(counts: Record<string, number>, name: string): number {
  const count = Object.hasOwn(counts, name) ? (counts[name] as number) : 0;
  counts[name] = count + 1;
  return count;
}

/** This chain, as the engine's activities need to know it. */
export function chainRef(): ChainRef {
  const { workflowType, firstExecutionRunId, parent } = workflowInfo();
  return {
    chain: workflowType,
    firstRunId: firstExecutionRunId,
    ...(parent === undefined ? {} : { parentId: parent.workflowId }),
  };
}
