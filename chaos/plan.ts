/** What will happen in a run, all of it by the seed: pure, so that the same seed gives the same plan. */
import { createDice, FAULT_KINDS, type FaultRule } from '../src/embedded/simulated-claude/faults.js';

export const TARGETS = ['worker-1', 'worker-2', 'Temporal', 'PostgreSQL', 'simulated Claude'] as const;
export type Target = (typeof TARGETS)[number];

/** `kill`: SIGKILL; `pause`: SIGSTOP and, later, SIGCONT; `cut`: its connections break and new ones are refused. */
export const ACTIONS = ['kill', 'pause', 'cut'] as const;
export type Action = (typeof ACTIONS)[number];

export interface Disturbance {
  /** Since the start of the run. */
  readonly atMs: number;
  readonly action: Action;
  readonly target: Target;
  /** How long a pause or a cut lasts; 0 for a kill, after which the part is started again at once. */
  readonly forMs: number;
}

/** Faults of the provider, in force until the next phase. */
export interface FaultPhase {
  readonly atMs: number;
  readonly rules: readonly FaultRule[];
}

export interface PlannedChain {
  /** Its idempotency key; it stands in each of its prompts. */
  readonly name: string;
  readonly atMs: number;
  readonly tenant: string;
  readonly priority: 'high' | 'normal' | 'low';
  /** Calls that it makes side by side. */
  readonly details: number;
  /** What a person decides about it; null when nobody is asked. */
  readonly approval: 'approve' | 'reject' | null;
  /** How long after its submission somebody cancels it; null: nobody does. */
  readonly cancelAfterMs: number | null;
  /** Whether somebody sends it on its way again as soon as it is held, while everything is still shaking. */
  readonly retriedEarly: boolean;
}

export interface PlanOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly chains: number;
}

export interface Plan extends PlanOptions {
  readonly plannedChains: readonly PlannedChain[];
  readonly disturbances: readonly Disturbance[];
  readonly phases: readonly FaultPhase[];
}

/** From one disturbance to the next, on the average, as a share of a long run; short runs are denser. */
const LONGEST_GAP_MS = 8_000;
const LEAST_DISTURBANCES = 14;
/** Longer than the heartbeat timeout of 5 s, so that Temporal gives up on a worker that is paused. */
const LONGEST_MS = 9_000;
const PHASES = 10;
/** The last chains come a while before the end, so that they are disturbed as well. */
const SUBMITTED_WITHIN = 0.9;

/** @throws Error for numbers that make no run */
export function planChaos({ seed, seconds, chains }: PlanOptions): Plan {
  for (const [name, value] of Object.entries({ seed, seconds, chains })) {
    if (!Number.isInteger(value) || value < 1) throw new Error(`${name} ${value}: expected a whole number from 1.`);
  }
  const dice = createDice(seed);
  const pick = <Value>(values: readonly Value[]): Value => values[Math.floor(dice() * values.length)]!;
  const between = (least: number, most: number): number => Math.round(least + dice() * (most - least));
  const shuffled = <Value>(values: readonly Value[]): Value[] =>
    values
      .map((value) => ({ value, at: dice() }))
      .sort((a, b) => a.at - b.at)
      .map(({ value }) => value);

  const ms = seconds * 1_000;
  const plannedChains = Array.from({ length: chains }, (_, index): PlannedChain => {
    const name = `chaos-${seed}-${index + 1}`;
    return {
      name,
      atMs: between(0, ms * SUBMITTED_WITHIN),
      tenant: pick(['acme', 'globex', 'initech']),
      priority: pick(['high', 'normal', 'normal', 'low']),
      details: pick([0, 0, 1, 2]),
      approval: dice() < 0.2 ? pick(['approve', 'approve', 'reject'] as const) : null,
      cancelAfterMs: dice() < 0.04 ? between(0, 4_000) : null,
      retriedEarly: dice() < 0.5,
    };
  });

  const gapMs = Math.min(LONGEST_GAP_MS, ms / LEAST_DISTURBANCES);
  const longestMs = Math.min(LONGEST_MS, 2.5 * gapMs);
  const disturbances: Disturbance[] = [];
  /** All kinds come before any comes again. */
  let kinds: { action: Action; target: Target }[] = [];
  const freeAt = new Map<Target, number>();
  for (let atMs = gapMs; atMs < ms; atMs += between(0.5 * gapMs, 1.5 * gapMs)) {
    if (kinds.length === 0)
      kinds = shuffled(ACTIONS.flatMap((action) => TARGETS.map((target) => ({ action, target }))));
    // One thing at a time for each target: what is paused and killed as well was only killed.
    const at = kinds.findIndex(({ target }) => (freeAt.get(target) ?? 0) <= atMs);
    if (at === -1) continue;
    const [{ action, target }] = kinds.splice(at, 1) as [{ action: Action; target: Target }];
    const forMs = action === 'kill' ? 0 : Math.min(between(0.2 * longestMs, longestMs), ms - atMs);
    freeAt.set(target, atMs + forMs + gapMs);
    disturbances.push({ atMs: Math.round(atMs), action, target, forMs: Math.round(forMs) });
  }

  const poisoned = between(2, PHASES - 2);
  const phases = Array.from({ length: PHASES }, (_, index): FaultPhase => {
    const rules = shuffled(FAULT_KINDS)
      .slice(0, 6)
      .map((kind) => faultRule(kind, pick, dice));
    const atMs = Math.round((index * ms) / PHASES);
    if (index !== poisoned) return { atMs, rules };
    // A step that fails for everybody: its circuit opens, and its chains are held without a call.
    const poison: FaultRule = { id: 'poison', kind: 'status', status: 400, match: { contains: ', conclude' } };
    return { atMs, rules: [poison, ...rules] };
  });
  return { seed, seconds, chains, plannedChains, disturbances, phases };
}

function faultRule(
  kind: FaultRule['kind'],
  pick: <Value>(values: readonly Value[]) => Value,
  dice: () => number,
): FaultRule {
  const rule = { kind, rate: 0.005 + Math.round(dice() * 25) / 1_000 };
  if (kind === 'slow') return { ...rule, factor: 3 };
  if (kind !== 'status') return rule;
  const status = pick([400, 408, 429, 500, 502, 503]);
  return { ...rule, status, ...(status === 429 ? { retryAfter: 1 } : {}) };
}

/** A line for each disturbance and phase, in the order in which they come. */
export function planLines({ disturbances, phases }: Plan): string[] {
  const seconds = (ms: number) => (ms / 1_000).toFixed(1);
  const lines = [
    ...disturbances.map(({ atMs, action, target, forMs }) => {
      return { atMs, text: `${action} ${target}${forMs === 0 ? '' : ` for ${seconds(forMs)} s`}` };
    }),
    ...phases.map(({ atMs, rules }) => {
      const told = rules.map(
        ({ id, kind, status, rate }) => `${id ?? status ?? kind} ${Number((100 * (rate ?? 1)).toFixed(1))} %`,
      );
      return { atMs, text: `faults: ${told.join(', ')}` };
    }),
  ];
  return lines.sort((a, b) => a.atMs - b.atMs).map(({ atMs, text }) => `${seconds(atMs).padStart(6)} s  ${text}`);
}
