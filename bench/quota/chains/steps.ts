import { defineStep } from '../../../src/index.js';
import { MAX_TOKENS, MODEL, SYSTEM } from '../../prompts.js';
import { type QuotaInput, turnOf } from '../prompts.js';

const settings = { model: MODEL, maxTokens: MAX_TOKENS, system: SYSTEM };

export const steps = {
  analyze: defineStep({ ...settings, prompt: (input: QuotaInput) => turnOf('analyze', input) }),
  summarize: defineStep({
    ...settings,
    prompt: (input: Omit<QuotaInput, 'document'>) => turnOf('summarize', { ...input, document: '' }),
  }),
};
