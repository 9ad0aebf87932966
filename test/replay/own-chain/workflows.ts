import { condition, defineSignal, executeChild, setHandler, sleep } from '@temporalio/workflow';
import { proxySteps } from '../../../src/workflow.js';
import type { steps } from './steps.js';

const { outline, argue, checkFacts } = proxySteps<typeof steps>();

export const releaseSignal = defineSignal('release');

/**
 * A chain as a user writes one, with what Temporal gives besides steps: branches, a timer, a signal with a time limit, a
 * child. It is evidence: a change of it breaks the recorded histories, as it would break a user's open chains.
 */
export async function weighTopic({ topic }: { topic: string }) {
  let released = false;
  setHandler(releaseSignal, () => {
    released = true;
  });
  const plan = await outline({ topic });
  const [pro, contra] = await Promise.all([
    argue({ side: 'for' }, { continues: plan, priority: 'high' }),
    argue({ side: 'against' }, { continues: plan }),
  ]);
  await sleep(200, { summary: 'cooling off' });
  const inTime = await condition(() => released, '1 hour');
  const doubts = await executeChild(verifyClaims, { args: [{ text: `${pro.output}\n${contra.output}` }] });
  return { inTime, doubts };
}

/** Its child, a chain too. */
export async function verifyClaims({ text }: { text: string }) {
  const { output } = await checkFacts({ text });
  return output.doubts.length;
}
