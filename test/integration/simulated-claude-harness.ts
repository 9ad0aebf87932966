import Anthropic from '@anthropic-ai/sdk';
import { afterEach } from 'vitest';
import {
  type SimulatedClaude,
  type SimulatedClaudeOptions,
  startSimulatedClaude,
} from '../../src/embedded/simulated-claude/index.js';

export const MODEL = 'claude-sonnet-5-5';
const NO_LATENCY = { firstTokenMs: 0, msPerOutputToken: 0, msPerInputToken: 0 };

export const DOCUMENT = `The harbour of Merrow was rebuilt between 1954 and 1961 after a storm had destroyed the old quay.
The city council paid for the new harbour with a loan of four million pounds, which it repaid within twenty years.
Fishing boats returned to the harbour in 1962, and the fish market opened again in the spring of the following year.
Dr. Helen Marsh, the engineer of the harbour, designed a breakwater that still protects the quay from winter storms.
Tourism has replaced fishing as the main business of the harbour, and ferries bring 90,000 visitors every summer.
The council now plans to raise the breakwater by one metre, because the sea has risen since the harbour was built.`;

/** A document long enough for the prompt cache, about 1,500 tokens. */
export const LONG_DOCUMENT = Array.from(
  { length: 9 },
  (_, part) => `Part ${part + 1} of the report.\n${DOCUMENT}`,
).join('\n\n');

const running: SimulatedClaude[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((simulator) => simulator.stop()));
});

export interface Setup {
  readonly simulator: SimulatedClaude;
  readonly client: Anthropic;
  readonly clientWith: (apiKey: string) => Anthropic;
}

/** A simulator without latency that ends with the test, and the real SDK pointed at it. */
export async function simulate(options: SimulatedClaudeOptions = {}): Promise<Setup> {
  const simulator = await startSimulatedClaude({ latency: NO_LATENCY, ...options });
  running.push(simulator);
  const clientWith = (apiKey: string) =>
    new Anthropic({ apiKey, baseURL: simulator.url, maxRetries: 0, logLevel: 'off' });
  return { simulator, client: clientWith('test-key-1234'), clientWith };
}

/** A request about {@link DOCUMENT}. */
export function ask(instruction: string, more: Partial<Anthropic.MessageCreateParamsNonStreaming> = {}) {
  return {
    model: MODEL,
    max_tokens: 1_000,
    messages: [{ role: 'user' as const, content: `${instruction}\n\n<document>\n${DOCUMENT}\n</document>` }],
    ...more,
  };
}

export function textOf(message: Anthropic.Message): string {
  return message.content.map((block) => (block.type === 'text' ? block.text : '')).join('');
}

/** The error that `promise` rejects with. */
export async function failure(promise: Promise<unknown>): Promise<InstanceType<typeof Anthropic.APIError>> {
  try {
    await promise;
  } catch (error) {
    return error as InstanceType<typeof Anthropic.APIError>;
  }
  throw new Error('expected a failure');
}
