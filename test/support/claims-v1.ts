import { condition, defineSignal, setHandler } from '@temporalio/workflow';
import { proxySteps } from '../../src/workflow.js';
import type { ClaimSteps } from './claims-steps.js';

const { readClaim, decideClaim } = proxySteps<ClaimSteps>();

/** A user's chain before it is changed. Some wait for a signal, with a timer beside it. */
export async function handleClaim({ claim, waits }: { claim: string; waits: boolean }) {
  let released = !waits;
  setHandler(defineSignal('release'), () => {
    released = true;
  });
  const read = await readClaim({ claim });
  if (waits) await condition(() => released, '1 hour');
  const { output } = await decideClaim({ claim }, { continues: read });
  return { output, checked: false };
}
