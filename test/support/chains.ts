import { CancellationScope, continueAsNew, executeChild, isCancellation, sleep } from '@temporalio/workflow';
import type { Approval, ApprovalRequest } from '../../src/contracts/approvals.js';
import type { Attachment } from '../../src/contracts/attachments.js';
import type { StepDefinition } from '../../src/contracts/steps.js';
import { approval } from '../../src/workflows/approvals.js';
import { proxySteps } from '../../src/workflows/steps.js';

export { analyzeDocument } from '../../src/workflows/analyze-document.js';

type Echo = StepDefinition<{ text: string }, string>;
type Look = StepDefinition<{ files: readonly Attachment[] }, string>;
type Checked = StepDefinition<{ reason: string }, string>;
const { echo, other, look, checked } = proxySteps<{ echo: Echo; other: Echo; look: Look; checked: Checked }>();

/** Steps one after another, the later ones continuing the conversation. */
export async function inSequence(texts: string[]): Promise<string[]> {
  const outputs: string[] = [];
  let last: { conversation: string } | undefined;
  for (const text of texts) {
    const result = await echo({ text }, last === undefined ? {} : { continues: last });
    outputs.push(result.output);
    last = result;
  }
  return outputs;
}

/** A step whose prompt function throws. */
export async function withReason(reason: string): Promise<string> {
  return (await checked({ reason })).output;
}

/** A step that a person may skip, and one that goes on from it. */
export async function withSkippable(text: string): Promise<string[]> {
  const first = await echo({ text }, { ifSkipped: 'left out' });
  const second = await echo({ text: 'after' }, { continues: first });
  return [first.output, second.output];
}

/** A first step, then parallel ones that fork its conversation. */
export async function forked(texts: string[]): Promise<string[]> {
  const base = await other({ text: 'base' });
  const results = await Promise.all(texts.map((text) => echo({ text }, { continues: base })));
  return results.map(({ output }) => output);
}

/** The same call several times at once. */
export async function identicalCalls(count: number): Promise<string[]> {
  const results = await Promise.all(Array.from({ length: count }, () => echo({ text: 'same' })));
  return results.map(({ output }) => output);
}

/** Calls the same step in each of several runs. */
export async function overRuns(left: number, outputs: string[]): Promise<string[]> {
  const { output } = await echo({ text: 'each run' });
  const all = [...outputs, output];
  if (left > 1) await continueAsNew<typeof overRuns>(left - 1, all);
  return all;
}

/** Sleeps between its steps, so that it uses more than steps. */
export async function withTimer(ms: number): Promise<string> {
  const first = await echo({ text: 'before' });
  await sleep(ms);
  const second = await echo({ text: 'after' }, { continues: first });
  return second.output;
}

/** Cleans up with a step when it is cancelled. */
export async function withCleanUp(): Promise<void> {
  try {
    await echo({ text: 'work' });
  } catch (error) {
    if (!isCancellation(error)) throw error;
    await CancellationScope.nonCancellable(() => other({ text: 'clean up' }));
    throw error;
  }
}

/** Starts a chain as its child and waits for it. */
export async function withChild(ms: number): Promise<string> {
  return executeChild(withTimer, { args: [ms] });
}

/** Has a mistake in its code. */
export async function mistaken(): Promise<void> {
  throw new Error('a mistake');
}

/** Asks for one approval, and returns how it was decided. */
export function oneApproval(request: ApprovalRequest<unknown>): Promise<Approval<unknown>> {
  return approval(request);
}

/** Asks for several approvals at once. */
export function approvals(requests: ApprovalRequest<unknown>[]): Promise<Approval<unknown>[]> {
  return Promise.all(requests.map((request) => approval(request)));
}

/** Asks for approval between two steps. */
export async function withApproval(deadlineMs: number): Promise<string> {
  const { output } = await echo({ text: 'draft' });
  const decision = await approval({ category: 'draft', proposal: output, deadlineMs });
  if (!decision.approved) return `rejected by ${decision.by}`;
  return (await echo({ text: decision.value })).output;
}

/** Asks about files, and then goes on with the conversation. */
export async function aboutFiles(files: readonly Attachment[]): Promise<string[]> {
  const first = await look({ files });
  const second = await echo({ text: 'And now?' }, { continues: first });
  return [first.output, second.output];
}
