import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type Application, defineChain } from '../../src/index.js';
import { publishing, steps } from './steps.js';

const input = z.object({ name: z.string(), document: z.string(), details: z.number().int(), approval: z.boolean() });

export const chaosApplication: Application = {
  chains: { writeReport: defineChain({ input, steps: ['outline', 'detail', 'conclude'] }) },
  steps,
  approvals: { publishing },
  workflowsPath: fileURLToPath(new URL('./workflows.ts', import.meta.url)),
};
