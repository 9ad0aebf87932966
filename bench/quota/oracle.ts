import Anthropic from '@anthropic-ai/sdk';
import { DEFAULT_LANE_POLICIES } from '../../src/contracts/lanes.js';
import { PRIORITIES } from '../../src/contracts/priority.js';
import { SIMULATED_MODELS, type SimulatedModel } from '../../src/embedded/simulated-claude/models.js';
import type { GroupReading } from '../../src/embedded/simulated-claude/rate-limits.js';
import type { SimulatedClaude } from '../../src/embedded/simulated-claude/server.js';
import { retryDelayMs } from '../../src/models/retry-delay.js';
import type { Message } from '../bare/activities.js';
import { MODEL } from '../prompts.js';
import { CALLS, turnOf } from './prompts.js';
import { type Send, sender } from './send.js';
import type { Side, StartSide } from './side.js';
import { BUCKETS, type Bucket, type Cost, type PlannedChain } from './workload.js';

interface Waiter {
  readonly chain: PlannedChain;
  readonly step: number;
  readonly cost: Cost;
  readonly arrival: number;
  readonly admit: () => void;
}

/** Nobody tells it of new limits: it looks again after so long at the latest. */
const LOOK_MS = 20;
/** Levels are sums of many small refills. */
const ROUNDING = 1e-3;

const GROUP = (SIMULATED_MODELS.find(({ id }) => id === MODEL) as SimulatedModel).modelClass;

/** Who takes turns: within a class, for what a tenant got of another class was nobody's loss in this one. */
function turnKey({ priority, tenant }: PlannedChain): string {
  return `${priority} ${tenant}`;
}

/**
 * Admits each call at the moment when the simulated Claude has room for it, in the best order there is: by class, then
 * the tenant that has been served the fewest tokens of that class, then later steps, then arrival. It reads the buckets themselves and
 * knows what each call will take. Output is taken while the answer is written, so what open calls will still take counts
 * as gone. After a fault it waits as long as Holdfast does: it is the admission that is judged.
 */
class Oracle implements Side {
  private readonly abort = new AbortController();
  private readonly send: Send;
  private readonly waiting = new Set<Waiter>();
  /** Tokens, by class and tenant. */
  private readonly served = new Map<string, number>();
  /** What admitted calls have taken or will take. */
  private readonly admitted: Record<Bucket, number> = { requests: 0, inputTokens: 0, outputTokens: 0 };
  private readonly before: GroupReading;
  private arrivals = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly simulator: SimulatedClaude,
    private readonly chargeRefused: boolean,
  ) {
    this.send = sender(simulator.url, this.abort.signal, 0);
    this.before = this.buckets();
  }

  async run(chain: PlannedChain): Promise<void> {
    const messages: Message[] = [];
    for (const [step, call] of CALLS.entries()) {
      messages.push({ role: 'user', text: turnOf(call, chain) });
      messages.push({ role: 'assistant', text: await this.call(chain, step, messages) });
    }
  }

  async stop(): Promise<void> {
    clearTimeout(this.timer);
    this.abort.abort();
  }

  private async call(chain: PlannedChain, step: number, messages: readonly Message[]): Promise<string> {
    const cost = chain.costs[step] as Cost;
    const arrival = this.arrivals++;
    for (let failures = 0; ; ) {
      await new Promise<void>((admit) => {
        this.waiting.add({ chain, step, cost, arrival, admit });
        // Those that come together stand in order before the first of them goes.
        setImmediate(() => this.admit());
      });
      try {
        return await this.send(messages);
      } catch (error) {
        if (this.abort.signal.aborted) throw error;
        const refused = error instanceof Anthropic.RateLimitError;
        // A fault takes a request and no tokens; a refusal nothing, unless the provider charges it.
        this.count(chain, cost, refused && !this.chargeRefused ? -1 : 0, -1);
        if (refused) continue;
        failures += 1;
        const delayMs = retryDelayMs(DEFAULT_LANE_POLICIES.fast, failures);
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
  }

  private count(chain: PlannedChain, cost: Cost, requests: number, tokens: number): void {
    this.admitted.requests += requests;
    this.admitted.inputTokens += tokens * cost.inputTokens;
    this.admitted.outputTokens += tokens * cost.outputTokens;
    this.served.set(turnKey(chain), this.servedFor(chain) + tokens * (cost.inputTokens + cost.outputTokens));
  }

  private admit(): void {
    clearTimeout(this.timer);
    for (;;) {
      const [first] = [...this.waiting].sort((a, b) => this.compare(a, b));
      if (first === undefined) return;
      const waitMs = this.waitMs(first.cost);
      if (waitMs > 0) {
        this.timer = setTimeout(() => this.admit(), Math.min(LOOK_MS, Math.ceil(waitMs)));
        return;
      }
      this.waiting.delete(first);
      this.count(first.chain, first.cost, 1, 1);
      first.admit();
    }
  }

  private compare(a: Waiter, b: Waiter): number {
    const rank = ({ chain }: Waiter) => PRIORITIES.indexOf(chain.priority);
    const served = ({ chain }: Waiter) => this.servedFor(chain);
    return rank(a) - rank(b) || served(a) - served(b) || b.step - a.step || a.arrival - b.arrival;
  }

  private servedFor(chain: PlannedChain): number {
    return this.served.get(turnKey(chain)) ?? 0;
  }

  private buckets(): GroupReading {
    return this.simulator.buckets()[GROUP] as GroupReading;
  }

  /** As the simulated Claude reckons it: an output token must be there, and a call over the capacity waits for a full bucket. */
  private waitMs(cost: Cost): number {
    const now = this.buckets();
    const needs = { ...cost, outputTokens: 1 };
    const waits = BUCKETS.map((bucket) => {
      const { level, charged, capacity, limitPerMinute } = now[bucket];
      const open = this.admitted[bucket] - (charged - this.before[bucket].charged);
      const missing = Math.min(needs[bucket], capacity) - (level - open);
      return missing <= ROUNDING ? 0 : (missing * 60_000) / limitPerMinute;
    });
    return Math.max(...waits);
  }
}

export const startOracle: StartSide = async ({ chargeRefused = false }, simulator) =>
  new Oracle(simulator, chargeRefused);
