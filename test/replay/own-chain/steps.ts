import { z } from 'zod';
import { defineStep } from '../../../src/agents/define.js';

/** Steps of a chain as a user writes one. */
export const steps = {
  outline: defineStep({
    model: 'claude-haiku-5-5',
    prompt: ({ topic }: { topic: string }) => `Outline a report.\n\n<document>\n${topic}\n</document>`,
  }),
  argue: defineStep({
    model: 'claude-haiku-5-5',
    prompt: ({ side }: { side: string }) => `Name what speaks ${side} it.`,
  }),
  checkFacts: defineStep({
    model: 'claude-haiku-5-5',
    lane: 'heavy',
    output: z.object({ doubts: z.array(z.string()) }),
    prompt: ({ text }: { text: string }) => `Which of these claims are in doubt?\n\n<document>\n${text}\n</document>`,
  }),
};
