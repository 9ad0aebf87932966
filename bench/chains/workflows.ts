import { proxySteps } from '../../src/workflow.js';
import type { BenchInput } from '../prompts.js';
import type { steps } from './steps.js';

const { ask, askUncached } = proxySteps<typeof steps>();

async function conversation(step: typeof ask, { document, steps }: BenchInput): Promise<string> {
  let last = await step({ number: 1, document });
  for (let number = 2; number <= steps; number += 1) last = await step({ number }, { continues: last });
  return last.output;
}

export async function benchChain(input: BenchInput): Promise<string> {
  return conversation(ask, input);
}

/** The same calls without the provider's prompt cache. */
export async function uncachedChain(input: BenchInput): Promise<string> {
  return conversation(askUncached, input);
}
