import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type Application, defineChain } from '../../src/index.js';
import { steps } from './steps.js';

const input = z.object({ document: z.string(), steps: z.number().int().min(1) });

/** The chains of the benchmarks. */
export const benchApplication: Application = {
  chains: {
    benchChain: defineChain({ input, steps: ['ask'] }),
    uncachedChain: defineChain({ input, steps: ['askUncached'] }),
  },
  steps,
  workflowsPath: fileURLToPath(new URL('./workflows.ts', import.meta.url)),
};
