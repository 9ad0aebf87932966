import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Application } from '../contracts/chain-definition.js';
import { defineChain } from './define.js';
import { documentSteps } from './document-steps.js';

/** The chains that come with Holdfast. */
export const shippedApplication: Application = {
  chains: {
    analyzeDocument: defineChain({
      input: z.strictObject({
        document: z.string().refine((text) => text.trim().length > 0, 'must not be empty'),
        title: z.string().max(500).optional(),
      }),
      title: ({ title }) => title,
      steps: ['analyze', 'summarize'],
    }),
  },
  steps: documentSteps,
  workflowsPath:
    fileURLToPath(new URL('../workflows/index', import.meta.url)) + (import.meta.url.endsWith('.ts') ? '.ts' : '.js'),
};
