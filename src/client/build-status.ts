import { type ChainState, isClosed } from '../contracts/chains.js';
import { verdictsOf } from '../contracts/holds.js';
import { suggestedActionFor } from '../contracts/reasons.js';
import type { ChainStatus, HoldStatus, StepState, StepStatus } from '../contracts/status.js';
import type { AttemptRow } from '../store/attempts.js';
import { type ChainRow, delayedUntil } from '../store/chains.js';
import { decisionsOf, type HoldRow } from '../store/holds.js';
import type { ParkedRow } from '../store/parked.js';
import type { QuotaOutlook } from '../store/quotas.js';
import type { ScopeWait } from '../store/scopes.js';

/** A step call that Temporal has scheduled, whether or not an attempt was made. */
export interface PendingStep {
  readonly name: string;
  readonly call: number;
}

export interface StatusParts {
  readonly chain: ChainRow;
  readonly attempts: readonly AttemptRow[];
  readonly holds: readonly HoldRow[];
  readonly parked: readonly Pick<ParkedRow, 'step' | 'call' | 'cause'>[];
  /** Calls that stand in line for their quota. */
  readonly waiting: readonly QuotaOutlook[];
  /** What its calls, or the chain as a whole, wait for in lines of scopes. */
  readonly scopeWaits: readonly ScopeWait[];
  readonly pending: readonly PendingStep[];
  /** Why the workflow's code cannot go on, when Temporal reports that; null otherwise. */
  readonly stuck: string | null;
}

/** Puts the records of a chain together. Pure. */
export function buildStatus(parts: StatusParts): ChainStatus {
  const { chain, attempts, holds, parked, waiting, scopeWaits, pending, stuck } = parts;
  const open = holds.filter((hold) => hold.decided_at === null);
  const state: ChainState = stuck !== null && !isClosed(chain.state) ? 'stuck' : chain.state;
  const groups = new Map<string, AttemptRow[]>();
  for (const attempt of attempts) {
    const name = `${attempt.step}\n${attempt.call}`;
    groups.set(name, [...(groups.get(name) ?? []), attempt]);
  }
  const steps = [...groups.values()].map((group) => stepStatus(group, open, state));
  for (const { step, call, cause } of isClosed(state) ? [] : [...parked, ...ofSteps(scopeWaits)]) {
    const index = steps.findIndex((other) => other.name === step && other.call === call);
    const known = steps[index];
    // Its row may be a moment behind.
    if (known?.state === 'running' || known?.state === 'completed') continue;
    const status: StepStatus = { ...(known ?? queuedStep(step, call)), state: 'parked', waitsFor: cause };
    if (known === undefined) steps.push(status);
    else steps[index] = status;
  }
  for (const { name, call } of pending) {
    if (!steps.some((step) => step.name === name && step.call === call)) steps.push(queuedStep(name, call));
  }
  for (const outlook of isClosed(state) ? [] : waiting) {
    const index = steps.findIndex((other) => other.name === outlook.step && other.call === outlook.call);
    const known = steps[index];
    if (known?.state === 'queued' || known?.state === 'waiting')
      steps[index] = { ...known, waitsFor: outlookText(outlook) };
  }
  for (const { kind, step, call } of open) {
    if (kind !== 'failure') continue;
    if (!steps.some((other) => other.name === step && other.call === call)) {
      steps.push({ ...queuedStep(step, call), state: 'held' });
    }
  }
  return {
    id: chain.id,
    chain: chain.type,
    tenant: chain.tenant,
    priority: chain.priority,
    key: chain.key,
    state,
    startsAt: delayedUntil(chain)?.toISOString() ?? null,
    waitsFor: scopeWaits.find(({ step }) => step === null)?.cause ?? null,
    steps,
    holds: open.map(holdStatus),
    decisions: decisionsOf(holds),
    costMicroUsd: sumOfKnown(steps.map(({ costMicroUsd }) => costMicroUsd)),
    output: chain.output === null ? null : JSON.parse(chain.output),
    message: stuck ?? chain.message,
  };
}

const LIMITS: Readonly<Record<QuotaOutlook['limit'], string>> = {
  requests: 'requests of',
  input: 'input tokens of',
  output: 'output tokens of',
  refused: 'the provider, which has refused a call of',
};

function outlookText({ limit, group, waitMs }: QuotaOutlook): string {
  return `${LIMITS[limit]} ${group}, about ${Math.ceil(waitMs / 1_000)} s`;
}

function ofSteps(waits: readonly ScopeWait[]) {
  return waits.flatMap(({ step, call, cause }) => (step === null || call === null ? [] : [{ step, call, cause }]));
}

function stepStatus(group: readonly AttemptRow[], open: readonly HoldRow[], chainState: ChainState): StepStatus {
  const first = group[0] as AttemptRow;
  const calls = group.filter(({ kind }) => kind !== 'reuse');
  const success = group.findLast(({ state }) => state === 'succeeded');
  const sum = (pick: (attempt: AttemptRow) => number): number => calls.reduce((total, row) => total + pick(row), 0);
  return {
    name: first.step,
    call: first.call,
    state: stepState(group, open, chainState),
    waitsFor: null,
    attempts: calls.length,
    model: first.model,
    inputTokens: sum((row) => row.input_tokens),
    outputTokens: sum((row) => row.output_tokens),
    cacheReadTokens: sum((row) => row.cache_read_tokens),
    cacheWriteTokens: sum((row) => row.cache_write_5m_tokens + row.cache_write_1h_tokens),
    costMicroUsd: sumOfKnown(calls.filter(({ state }) => state !== 'open').map((row) => row.cost_micro_usd)),
    fromJournal: group.some(({ kind }) => kind === 'reuse'),
    startedAt: first.started_at.toISOString(),
    finishedAt: (calls.find(({ state }) => state === 'succeeded') ?? success)?.finished_at?.toISOString() ?? null,
  };
}

function stepState(group: readonly AttemptRow[], open: readonly HoldRow[], chainState: ChainState): StepState {
  if (group.some(({ state }) => state === 'succeeded')) return 'completed';
  const { step, call } = group[0] as AttemptRow;
  if (isClosed(chainState)) return 'cancelled';
  if (open.some((hold) => hold.kind === 'failure' && hold.step === step && hold.call === call)) return 'held';
  return group.some(({ state }) => state === 'open') ? 'running' : 'waiting';
}

function queuedStep(name: string, call: number): StepStatus {
  return {
    name,
    call,
    state: 'queued',
    waitsFor: null,
    attempts: 0,
    model: null,
    inputTokens: 0,
    outputTokens: 0,
    cacheReadTokens: 0,
    cacheWriteTokens: 0,
    costMicroUsd: 0,
    fromJournal: false,
    startedAt: null,
    finishedAt: null,
  };
}

function holdStatus(hold: HoldRow): HoldStatus {
  const { id, kind, reason, step, message, proposal, deadline } = hold;
  return {
    id,
    kind,
    reason,
    step,
    message,
    suggestedAction: suggestedActionFor(hold),
    verdicts: verdictsOf(hold),
    ...(proposal === null ? {} : { proposal: JSON.parse(proposal) as unknown }),
    ...(deadline === null ? {} : { deadline: deadline.toISOString() }),
  };
}

/** Null when there are costs and none of them is known: then the sum is not zero, it is unknown. */
function sumOfKnown(costs: readonly (number | null)[]): number | null {
  const known = costs.filter((cost) => cost !== null);
  return costs.length > 0 && known.length === 0 ? null : known.reduce((total, cost) => total + cost, 0);
}
