import { defineStep } from '../../../src/index.js';

export const steps = {
  summarize: defineStep({
    model: 'claude-haiku-5-5',
    prompt: ({ text }: { text: string }) => `Summarize in one sentence:\n${text}`,
  }),
};
