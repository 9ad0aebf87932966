import { defineStep } from '../../src/index.js';
import { MAX_TOKENS, MODEL, promptOf, SYSTEM } from '../prompts.js';

interface AskInput {
  readonly number: number;
  readonly document?: string;
}

const ask = defineStep({
  model: MODEL,
  maxTokens: MAX_TOKENS,
  system: SYSTEM,
  prompt: ({ number, document }: AskInput) => promptOf(number, document),
});

export const steps = { ask, askUncached: defineStep<AskInput, string>({ ...ask, cache: 'off' }) };
