import { PRIORITIES, type Priority } from '../../src/contracts/priority.js';
import { composeAnswer } from '../../src/embedded/simulated-claude/answer.js';
import { createDice } from '../../src/embedded/simulated-claude/faults.js';
import { SIMULATED_MODELS } from '../../src/embedded/simulated-claude/models.js';
import { PromptCache, promptSegments } from '../../src/embedded/simulated-claude/prompt-cache.js';
import type { MessagesRequest } from '../../src/embedded/simulated-claude/request.js';
import { type Message, requestOf } from '../bare/activities.js';
import { makeDocument } from '../documents.js';
import { sum } from '../figures.js';
import { MODEL } from '../prompts.js';
import { CALLS, type QuotaInput, turnOf } from './prompts.js';

/** What a call takes from the buckets of the simulated Claude. */
export interface Cost {
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

export const BUCKETS = ['requests', 'inputTokens', 'outputTokens'] as const;
export type Bucket = (typeof BUCKETS)[number];

/** A chain of the workload: which is the same for each side. */
export interface PlannedChain extends QuotaInput {
  readonly tenant: string;
  readonly priority: Priority;
  /** One of those that come in the middle of the run. */
  readonly urgent: boolean;
  /** What its calls take, in their order, by the simulator's own accounting. */
  readonly costs: readonly Cost[];
}

export interface Workload {
  /** All at once, in this order. */
  readonly chains: readonly PlannedChain[];
  readonly urgent: readonly PlannedChain[];
}

export interface WorkloadOptions {
  readonly chains: number;
  readonly urgent: number;
  readonly sentences: number;
  /** Documents of this tenant are ten times as long. */
  readonly longTenant?: string;
}

export const NOISY = 'noisy';
export const QUIET = ['quiet-1', 'quiet-2', 'quiet-3'] as const;
export const TENANTS = [NOISY, ...QUIET] as const;

/** Of all chains. The noisy tenant's come first. */
const NOISY_SHARE = 0.7;
/** Of ten chains one is high, six are normal and three low, in an order that no tenant's chains follow. */
const CLASSES: readonly Priority[] = [
  ...['normal', 'low', 'normal', 'normal', 'low', 'high', 'normal', 'low', 'normal', 'normal'],
] as Priority[];
/** Above what the prompt cache keeps, so that a second call reads its document from it. */
const DOCUMENT_TOKENS = { from: 1_100, to: 2_200 };
const LONGER = 10;
const SEED = 20_261_121;

/** The same chains for the same options, in each process and on each machine. */
export function planWorkload({ chains, urgent, sentences, longTenant }: WorkloadOptions): Workload {
  const dice = createDice(SEED);
  const plan = (name: string, tenant: string, priority: Priority, isUrgent: boolean): PlannedChain => {
    const tokens = DOCUMENT_TOKENS.from + dice() * (DOCUMENT_TOKENS.to - DOCUMENT_TOKENS.from);
    const document = makeDocument(Math.round(tokens * (tenant === longTenant ? LONGER : 1)), name);
    const input = { name, document, sentences };
    return { ...input, tenant, priority, urgent: isUrgent, costs: costsOf(input) };
  };
  const noisy = Math.round(chains * NOISY_SHARE);
  const tenantOf = (at: number) => (at < noisy ? NOISY : (QUIET[(at - noisy) % QUIET.length] as string));
  const made = new Map<string, number>();
  return {
    chains: Array.from({ length: chains }, (_, at) => {
      const tenant = tenantOf(at);
      const number = made.get(tenant) ?? 0;
      made.set(tenant, number + 1);
      return plan(`c${at + 1}`, tenant, CLASSES[number % CLASSES.length] as Priority, false);
    }),
    urgent: Array.from({ length: urgent }, (_, at) =>
      plan(`u${at + 1}`, TENANTS[at % TENANTS.length] as string, PRIORITIES[0], true),
    ),
  };
}

/** The conversation as each call of a chain sends it, and what the simulated Claude answers: it depends on nothing else. */
function costsOf(input: QuotaInput): Cost[] {
  const model = SIMULATED_MODELS.find(({ id }) => id === MODEL);
  if (model === undefined) throw new Error(`The simulated Claude has no ${MODEL}.`);
  const cache = new PromptCache();
  const messages: Message[] = [];
  return CALLS.map((call) => {
    messages.push({ role: 'user', text: turnOf(call, input) });
    const request = requestOf(messages) as unknown as MessagesRequest;
    const split = cache.split('', model, promptSegments(request), 0);
    split.commit(0);
    const { tokens } = composeAnswer(request, null);
    messages.push({ role: 'assistant', text: tokens.join('') });
    return {
      requests: 1,
      inputTokens: split.inputTokens + split.write5mTokens + split.write1hTokens,
      outputTokens: tokens.length,
    };
  });
}

export function totalCost({ chains, urgent }: Workload): Cost {
  const costs = [...chains, ...urgent].flatMap((chain) => chain.costs);
  const total = (bucket: Bucket) => sum(costs.map((cost) => cost[bucket]));
  return { requests: total('requests'), inputTokens: total('inputTokens'), outputTokens: total('outputTokens') };
}
