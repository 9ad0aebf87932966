import { attachmentSchema, defineChain, defineConfig, defineStep } from 'holdfast';
import { z } from 'zod';

const input = z.object({ scan: attachmentSchema, question: z.string() });
export const steps = {
  answer: defineStep({ model: 'claude-haiku-5-5', input, prompt: ({ scan, question }) => [scan, question] }),
};
const chains = { askAboutScan: defineChain({ input, steps: ['answer'] }) };
export default defineConfig({ app: { chains, steps, workflowsPath: './workflows.ts' } });
