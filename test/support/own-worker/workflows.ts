import { proxyActivities } from '@temporalio/workflow';
import { approval, proxySteps } from '../../../src/workflow.js';
import type * as activities from './activities.js';
import type { steps } from './steps.js';

const { summarize } = proxySteps<typeof steps>();
const { countWords } = proxyActivities<typeof activities>({ startToCloseTimeout: '10 seconds' });

/** An ordinary workflow: it does not know of Holdfast, and the plugin changes nothing for it. */
export async function wordsOf(text: string): Promise<number> {
  return countWords(text);
}

/** A workflow with a step and an approval beside its own activity. */
export async function digest(text: string): Promise<{ words: number; summary: string }> {
  const words = await countWords(text);
  const { output } = await summarize({ text });
  const publish = await approval({ category: 'publish', proposal: output });
  return { words, summary: publish.approved ? publish.value : 'not published' };
}
