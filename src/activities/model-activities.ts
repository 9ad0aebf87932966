import { activityInfo, Context } from '@temporalio/activity';
import type { ModelActivities, StepCall } from '../contracts/activities.js';
import type { StepResult } from '../contracts/steps.js';
import { callingChain } from './engine-activities.js';
import type { StepWatch } from './model-caller.js';
import { createStepRunner, type StepRunnerDependencies } from './step-runner.js';

export interface ModelActivityDependencies extends StepRunnerDependencies {
  /** A heartbeat goes out three times in this time, in milliseconds. */
  readonly heartbeatTimeoutMs: number;
  /** Told that a call from this task queue no longer waits for its turn; returns what is told its end. */
  readonly onPassed: (taskQueue: string) => () => void;
}

/** One running step call of this process, and those who wait for it. */
interface Flight {
  readonly result: Promise<StepResult<unknown>>;
  readonly abort: AbortController;
  /** Activities that still want the result. */
  wantedBy: number;
  /** Whether a model call is open or its answer is being written: then it goes on whoever wants it. */
  paying: boolean;
  passed: boolean;
  /** To be told when it no longer waits for its turn. */
  readonly onPassed: Set<() => void>;
}

/**
 * The model activity. When Temporal gives a call to this process a second time while the first is still open (the
 * server was away and its heartbeat ran out), the second joins the first instead of paying again.
 */
export function createModelActivities(dependencies: ModelActivityDependencies): ModelActivities {
  const runStep = createStepRunner(dependencies);
  const flights = new Map<string, Flight>();

  function join(key: string, start: (watch: StepWatch) => Promise<StepResult<unknown>>): Flight {
    const running = flights.get(key);
    if (running !== undefined) return running;
    const abort = new AbortController();
    const land = (): void => {
      if (flights.get(key) === flight) flights.delete(key);
    };
    const watch: StepWatch = {
      signal: abort.signal,
      onPaying: (paying) => {
        flight.paying = paying;
      },
      onPassed: () => {
        flight.passed = true;
        for (const told of flight.onPassed) told();
      },
    };
    // Begun a moment later, since it may call onPaying.
    const result = Promise.resolve().then(() => start(watch).finally(land));
    const flight: Flight = { result, abort, wantedBy: 0, paying: false, passed: false, onPassed: new Set() };
    flights.set(key, flight);
    return flight;
  }

  return {
    async holdfastCallModel(call: StepCall) {
      const context = Context.current();
      const chain = callingChain();
      const key = [chain.id, call.firstRunId, call.step, call.inputHash, call.occurrence, call.round].join('\n');
      const flight = join(key, (watch) => runStep(call, chain, watch));
      flight.wantedBy += 1;
      let wanted = true;
      const leave = (): void => {
        if (wanted) flight.wantedBy -= 1;
        wanted = false;
      };
      const onCancel = (): void => {
        const details = context.cancellationDetails;
        // Timed out or not found: the server has given up on this activity. An open call goes on, since it will be paid;
        // its answer is stored, and whoever is given the activity next finds or joins it. One that only waits for quota
        // or for another worker stops, or it would make the call beside its successor.
        if (details?.timedOut || details?.notFound) {
          leave();
          if (flight.paying || flight.wantedBy > 0) return;
          flights.delete(key);
        }
        flight.abort.abort(context.cancellationSignal.reason);
      };
      if (context.cancellationSignal.aborted) onCancel();
      context.cancellationSignal.addEventListener('abort', onCancel, { once: true });
      let end: (() => void) | undefined;
      const { taskQueue } = activityInfo();
      const onPassed = (): void => {
        end ??= dependencies.onPassed(taskQueue);
      };
      flight.onPassed.add(onPassed);
      // One that joins another takes no turn of its own.
      if (flight.passed || flight.wantedBy > 1) onPassed();
      const heartbeat = setInterval(() => context.heartbeat(), dependencies.heartbeatTimeoutMs / 3);
      try {
        return await flight.result;
      } finally {
        clearInterval(heartbeat);
        flight.onPassed.delete(onPassed);
        end?.();
        leave();
        context.cancellationSignal.removeEventListener('abort', onCancel);
      }
    },
  };
}
