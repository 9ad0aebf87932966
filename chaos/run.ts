import { pause } from '../src/embedded/waiting.js';
import { callOf, stepsOf } from './chains/steps.js';
import type { Evidence, HoldRow } from './check.js';
import { Witness } from './evidence.js';
import { People } from './people.js';
import type { Plan, PlannedChain } from './plan.js';
import { ChaosStack, type Done } from './stack.js';

export interface RunOptions {
  /** Told how it goes, a line each. */
  readonly log: (line: string) => void;
  /** Ends the run early, and all that it has started. */
  readonly signal?: AbortSignal;
  /** How long chains may take to come to rest once nothing is done to them any more. Default: 300,000. */
  readonly settleMs?: number;
}

const LOOK_MS = 500;
const TELL_MS = 10_000;
/** A chain that is retried without faults succeeds; more rounds than this would hide that one does not. */
const MAX_ROUNDS = 3;

/** Does what a plan says to a stack of its own, waits until everything has come to rest, and gathers the evidence. */
export async function runChaos(plan: Plan, options: RunOptions): Promise<Evidence> {
  const stack = await ChaosStack.start(plan.seed, (line) => options.log(`          ${line}`));
  const witness = new Witness(stack.direct);
  const people = new People(stack.client);
  try {
    return await new Run(plan, options, stack, witness, people).evidence();
  } finally {
    await people.close();
    await witness.close();
    await stack.stop();
  }
}

class Run {
  readonly #startedMs = Date.now();
  readonly #chains: ReadonlyMap<string, PlannedChain>;
  readonly #handled = new Set<string>();
  readonly #deciding = new Set<Promise<void>>();

  constructor(
    private readonly plan: Plan,
    private readonly options: RunOptions,
    private readonly stack: ChaosStack,
    private readonly witness: Witness,
    private readonly people: People,
  ) {
    this.#chains = new Map(plan.plannedChains.map((chain) => [chain.name, chain]));
  }

  async evidence(): Promise<Evidence> {
    const { plan, witness, people } = this;
    const over = new AbortController();
    const deciders = this.#decideHolds(over.signal);
    const telling = this.#tellProgress(over.signal);
    try {
      const submissions = Promise.all(
        plan.plannedChains.map(async (chain) => {
          await this.#at(chain.atMs);
          return { name: chain.name, id: await people.submit(chain), steps: stepsOf(chain) };
        }),
      );
      const done = await this.#shake();
      await this.stack.setFaults([]);
      this.#say('nothing is done any more; chains come to rest');
      const submitted = await submissions;
      await this.#rest((state) => state === 'queued' || state === 'running');
      const settled = await witness.chains();
      await this.#retryHeld();
      await this.#rest((state) => state === 'queued' || state === 'running' || state === 'held');
      over.abort();
      await Promise.all([deciders, telling]);
      this.#say('gathering the evidence');
      const records = await witness.records();
      return {
        ...records,
        submitted,
        settled,
        done,
        callOf,
        clientErrors: people.errors,
        receipts: await people.receipts(),
        calls: await this.stack.calls(),
        histories: await witness.histories(records.chains.map(({ id }) => id)),
      };
    } finally {
      over.abort();
      await Promise.all([deciders, telling]);
    }
  }

  async #at(atMs: number): Promise<void> {
    await pause(this.#startedMs + atMs - Date.now(), this.options.signal);
    this.options.signal?.throwIfAborted();
  }

  /** All disturbances and faults of the plan, each at its time. */
  async #shake(): Promise<Done[]> {
    const phases = this.plan.phases.map(async ({ atMs, rules }) => {
      await this.#at(atMs);
      this.#say(`faults: ${rules.map(({ id, kind }) => id ?? kind).join(', ')}`);
      await this.stack.setFaults(rules);
    });
    const done = this.plan.disturbances.map(async (disturbance) => {
      const { atMs, action, target, forMs } = disturbance;
      await this.#at(atMs);
      this.#say(`${action} ${target}${forMs === 0 ? '' : ` for ${forMs} ms`}`);
      return this.stack.disturb(disturbance);
    });
    await Promise.all([...phases, this.#at(this.plan.seconds * 1_000)]);
    return Promise.all(done);
  }

  /** Decides approvals as planned, and retries what is held where that is planned. */
  async #decideHolds(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      // PostgreSQL may be away.
      const holds = await this.witness.openHolds().catch(() => []);
      for (const hold of holds) {
        const verdict = this.#verdictOf(hold);
        const name = `${hold.chain_id} ${hold.id}`;
        if (verdict === null || this.#handled.has(name)) continue;
        this.#handled.add(name);
        const deciding = this.people.decide(hold.chain_id, hold.id, verdict);
        this.#deciding.add(deciding);
        void deciding.finally(() => this.#deciding.delete(deciding));
      }
      await pause(LOOK_MS, signal);
    }
    await Promise.all(this.#deciding);
  }

  #verdictOf({ kind, key }: HoldRow & { readonly key: string }): 'retry' | 'approve' | 'reject' | null {
    const chain = this.#chains.get(key);
    if (kind === 'approval') return chain?.approval ?? null;
    return chain?.retriedEarly ? 'retry' : null;
  }

  /** Waits until no chain is in such a state for a while; gives up in the end, which the checker sees. */
  async #rest(isMoving: (state: string) => boolean): Promise<void> {
    const { settleMs = 300_000, signal } = this.options;
    let quiet = 0;
    for (const giveUpAt = Date.now() + settleMs; Date.now() < giveUpAt && quiet < 3; ) {
      await pause(LOOK_MS, signal);
      signal?.throwIfAborted();
      const chains = await this.witness.chains();
      // One that is held may be about to be decided.
      const holds = await this.witness.openHolds();
      const isStill =
        !chains.some(({ state }) => isMoving(state)) && holds.every((hold) => this.#verdictOf(hold) === null);
      quiet = isStill ? quiet + 1 : 0;
    }
  }

  async #retryHeld(): Promise<void> {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const retried = await this.people.retryAll();
      if (retried === 0) return;
      this.#say(`retried ${retried} that were held`);
    }
  }

  async #tellProgress(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await pause(TELL_MS, signal);
      const counts = new Map<string, number>();
      for (const { state } of await this.witness.chains().catch(() => []))
        counts.set(state, (counts.get(state) ?? 0) + 1);
      if (counts.size > 0) this.#say([...counts].map(([state, number]) => `${number} ${state}`).join(', '));
    }
  }

  #say(text: string): void {
    this.options.log(`${((Date.now() - this.#startedMs) / 1_000).toFixed(1).padStart(6)} s  ${text}`);
  }
}
