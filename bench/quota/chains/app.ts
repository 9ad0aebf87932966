import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type Application, defineChain } from '../../../src/index.js';
import { steps } from './steps.js';

const input = z.object({ name: z.string(), document: z.string(), sentences: z.number().int().min(1) });

export const quotaApplication: Application = {
  chains: { quotaChain: defineChain({ input, steps: ['analyze', 'summarize'] }) },
  steps,
  workflowsPath: fileURLToPath(new URL('./workflows.ts', import.meta.url)),
};
