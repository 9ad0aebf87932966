import { proxySteps } from '../../../src/workflow.js';
import type { QuotaInput } from '../prompts.js';
import type { steps } from './steps.js';

const { analyze, summarize } = proxySteps<typeof steps>();

export async function quotaChain({ name, document, sentences }: QuotaInput): Promise<string> {
  const analysis = await analyze({ name, document, sentences });
  return (await summarize({ name, sentences }, { continues: analysis })).output;
}
