import Anthropic from '@anthropic-ai/sdk';
import { ApplicationFailure, Context } from '@temporalio/activity';
import { MAX_TOKENS, MODEL, SYSTEM } from '../prompts.js';

export interface Message {
  readonly role: 'user' | 'assistant';
  readonly text: string;
}

export interface BareActivities {
  callClaude(messages: readonly Message[]): Promise<string>;
}

const CACHED = { cache_control: { type: 'ephemeral', ttl: '5m' } } as const;

/** The body of a call, byte for byte the one that Holdfast sends. */
export function requestOf(messages: readonly Message[]): Anthropic.MessageStreamParams {
  const userTurns = messages.flatMap(({ role }, index) => (role === 'user' ? [index] : [])).slice(-2);
  return {
    model: MODEL,
    system: [{ type: 'text', text: SYSTEM, ...CACHED }],
    messages: messages.map(({ role, text }, index) => ({
      role,
      content: [{ type: 'text', text, ...(userTurns.includes(index) ? CACHED : {}) }],
    })),
    max_tokens: MAX_TOKENS,
  };
}

export function textOf({ content }: Anthropic.Message): string {
  return content.flatMap((block) => (block.type === 'text' ? [block.text] : [])).join('');
}

/** One call of Claude, streamed and with heartbeats. */
export function createBareActivities(baseURL: string): BareActivities {
  const client = new Anthropic({ apiKey: 'simulated', baseURL, maxRetries: 0 });
  return {
    async callClaude(messages) {
      const context = Context.current();
      const heartbeat = setInterval(() => context.heartbeat(), 1_667);
      try {
        const stream = client.messages.stream(requestOf(messages), { signal: context.cancellationSignal });
        const answer = await stream.finalMessage();
        if (answer.stop_reason === 'refusal') throw ApplicationFailure.nonRetryable('The model refuses.', 'Refused');
        return textOf(answer);
      } finally {
        clearInterval(heartbeat);
      }
    },
  };
}
