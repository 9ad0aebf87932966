import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { MAX_DEADLINE_MS } from '../contracts/approvals.js';
import type { Application } from '../contracts/chain-definition.js';
import { defineChain } from './define.js';
import { documentSteps } from './document-steps.js';
import { reportApproval, reviewSteps } from './review-steps.js';

const documentInput = {
  document: z.string().refine((text) => text.trim().length > 0, 'must not be empty'),
  title: z.string().max(500).optional(),
};

/** The chains that come with Holdfast. */
export const shippedApplication: Application = {
  chains: {
    analyzeDocument: defineChain({
      input: z.strictObject(documentInput),
      title: ({ title }) => title,
      steps: ['analyze', 'summarize'],
    }),
    'reviewed-report': defineChain({
      input: z.strictObject({
        ...documentInput,
        deadlineMs: z.number().int().min(1).max(MAX_DEADLINE_MS).optional(),
        onTimeout: z.enum(['approve', 'reject']).optional(),
      }),
      title: ({ title }) => title,
      steps: ['analyze', 'summarizeApproved'],
    }),
  },
  steps: { ...documentSteps, ...reviewSteps },
  approvals: { report: reportApproval },
  workflowsPath:
    fileURLToPath(new URL('../workflows/index', import.meta.url)) + (import.meta.url.endsWith('.ts') ? '.ts' : '.js'),
};
