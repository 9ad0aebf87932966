import { condition, defineSignal, setHandler } from '@temporalio/workflow';
import { proxySteps } from '../../src/workflow.js';
import type { ClaimSteps } from './claims-steps.js';

const { readClaim, checkClaim, decideClaim } = proxySteps<ClaimSteps>();

/** The mistake: the step more without `patched()`. */
export async function handleClaim({ claim, waits }: { claim: string; waits: boolean }) {
  let released = !waits;
  setHandler(defineSignal('release'), () => {
    released = true;
  });
  const read = await readClaim({ claim });
  if (waits) await condition(() => released, '1 hour');
  await checkClaim({ claim });
  const { output } = await decideClaim({ claim }, { continues: read });
  return { output, checked: true };
}
