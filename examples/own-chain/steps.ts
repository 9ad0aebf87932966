import { defineStep } from 'holdfast';
import { z } from 'zod';

export const steps = {
  translate: defineStep({
    model: 'claude-haiku-5-5',
    prompt: ({ text }: { text: string }) => `Translate this into German:\n\n<document>\n${text}\n</document>`,
  }),
  check: defineStep({
    model: 'claude-haiku-5-5',
    output: z.object({ doubts: z.array(z.string()) }),
    prompt: () => 'Now name two points that the translation may have got wrong.',
  }),
};
