import { z } from 'zod';
import { defineApproval, defineStep } from '../../src/index.js';
import type { PlannedChain } from '../plan.js';

const settings = {
  model: 'claude-sonnet-5-5',
  maxTokens: 2_000,
  system: 'You write reports from the documents that you are given.',
};

/** Each prompt begins with the chain, the step and the number of its call: see {@link callOf}. */
const head = (name: string, step: string, call = 1): string => `Report ${name}, ${step} ${call}.`;

/** Whose call it was, by the last user turn; null for a repair, which shows the model its own answer. */
export function callOf(
  lastUserText: string,
): { readonly name: string; readonly step: string; readonly call: number } | null {
  const found = /^Report ([\w-]+), (\w+) (\d+)\./.exec(lastUserText);
  return found === null ? null : { name: found[1]!, step: found[2]!, call: Number(found[3]) };
}

/** The calls that a chain makes to its end. */
export function stepsOf({ details, approval }: Pick<PlannedChain, 'details' | 'approval'>): string[] {
  const parts = Array.from({ length: details }, (_, index) => `detail ${index + 1}`);
  return ['outline 1', ...parts, ...(approval === 'reject' ? [] : ['conclude 1'])];
}

export const steps = {
  outline: defineStep({
    ...settings,
    output: z.object({ points: z.array(z.string().min(1)).length(3) }),
    prompt: ({ name, document }: { name: string; document: string }) =>
      `${head(name, 'outline')} Give its three most important points.\n\n<document>\n${document}\n</document>`,
  }),
  detail: defineStep({
    ...settings,
    prompt: ({ name, part, point }: { name: string; part: number; point: string }) =>
      `${head(name, 'detail', part)} Explain this point in two sentences: ${point}`,
  }),
  conclude: defineStep({
    ...settings,
    lane: 'heavy',
    prompt: ({ name }: { name: string }) => `${head(name, 'conclude')} Write the report in three sentences.`,
  }),
};

export const publishing = defineApproval({ proposal: z.object({ points: z.array(z.string()) }) });
