import { Context } from '@temporalio/activity';
import type { ModelActivities, StepCall } from '../contracts/activities.js';
import type { StepResult } from '../contracts/steps.js';
import { callingChain } from './engine-activities.js';
import { createStepRunner, type StepRunnerDependencies } from './step-runner.js';

export interface ModelActivityDependencies extends StepRunnerDependencies {
  /** A heartbeat goes out three times in this time, in milliseconds. */
  readonly heartbeatTimeoutMs: number;
}

/** One running step call of this process, and those who wait for it. */
interface Flight {
  readonly result: Promise<StepResult<unknown>>;
  readonly abort: AbortController;
}

/**
 * The model activity. When Temporal gives a call to this process a second time while the first is still open (the
 * server was away and its heartbeat ran out), the second joins the first instead of paying again.
 */
export function createModelActivities(dependencies: ModelActivityDependencies): ModelActivities {
  const runStep = createStepRunner(dependencies);
  const flights = new Map<string, Flight>();

  function join(key: string, start: (signal: AbortSignal) => Promise<StepResult<unknown>>): Flight {
    const running = flights.get(key);
    if (running !== undefined) return running;
    const abort = new AbortController();
    const result = start(abort.signal).finally(() => flights.delete(key));
    const flight = { result, abort };
    flights.set(key, flight);
    return flight;
  }

  return {
    async holdfastCallModel(call: StepCall) {
      const context = Context.current();
      const chain = callingChain();
      const key = [chain.id, call.firstRunId, call.step, call.inputHash, call.occurrence, call.round].join('\n');
      const flight = join(key, (signal) => runStep(call, chain, signal));
      const onCancel = (): void => {
        const details = context.cancellationDetails;
        // Timed out or not found: the server has given up on this activity, but the call is open and will be paid.
        // It goes on, its answer is stored, and whoever is given the activity next finds or joins it.
        if (details?.timedOut || details?.notFound) return;
        flight.abort.abort(context.cancellationSignal.reason);
      };
      if (context.cancellationSignal.aborted) onCancel();
      context.cancellationSignal.addEventListener('abort', onCancel, { once: true });
      const heartbeat = setInterval(() => context.heartbeat(), dependencies.heartbeatTimeoutMs / 3);
      try {
        return await flight.result;
      } finally {
        clearInterval(heartbeat);
        context.cancellationSignal.removeEventListener('abort', onCancel);
      }
    },
  };
}
