import { proxySinks, type WorkflowInterceptors } from '@temporalio/workflow';
import type { ReplaySinks } from '../contracts/replay.js';

const { holdfastReplay } = proxySinks<ReplaySinks>();

/** Tells a replay what the code does. Only bundles for replays have this module, see `src/workers/bundle.ts`. */
export const interceptors = (): WorkflowInterceptors => ({
  internals: [
    {
      activate(input, next) {
        holdfastReplay.reached(input.activation.historyLength ?? 0);
        next(input);
      },
      concludeActivation(input, next) {
        const output = next(input);
        holdfastReplay.gave(output.commands);
        return output;
      },
    },
  ],
});
