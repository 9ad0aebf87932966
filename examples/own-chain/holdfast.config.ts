import { fileURLToPath } from 'node:url';
import { defineChain, defineConfig } from 'holdfast';
import { z } from 'zod';
import { steps } from './steps.js';

const input = z.object({ text: z.string().min(1) });

export const app = {
  chains: { translateText: defineChain({ input, steps: ['translate', 'check'] }) },
  steps,
  workflowsPath: fileURLToPath(new URL('./workflows.ts', import.meta.url)),
};

export default defineConfig({ app });
