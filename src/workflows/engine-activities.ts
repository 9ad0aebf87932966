import {
  ActivityFailure,
  ApplicationFailure,
  isCancellation,
  patched,
  proxyActivities,
  proxyLocalActivities,
} from '@temporalio/workflow';
import type { EngineActivities } from '../contracts/activities.js';
import { ENGINE_TASK_QUEUE } from '../contracts/queues.js';

type EngineActivity = keyof EngineActivities;
type EngineResult<Name extends EngineActivity> = Awaited<ReturnType<EngineActivities[Name]>>;

/**
 * Runs one of the engine's own activities: as a local one, which costs one marker, and where that fails for 5 s (the
 * store is down) as a normal one, whose retries cost no history. Either way it goes on until it succeeds.
 */
export async function callEngine<Name extends EngineActivity>(
  name: Name,
  input: Parameters<EngineActivities[Name]>[0],
  summary: string,
): Promise<EngineResult<Name>> {
  const local = proxyLocalActivities<EngineActivities>({
    scheduleToCloseTimeout: '5 seconds',
    // Eight attempts take about 4.5 s. The time limit alone would not do: SDK 1.24 applies it to one attempt at a time, so
    // that one which fails at once is tried for ever, at three events of history every eight seconds.
    retry: { initialInterval: '100 milliseconds', maximumInterval: '1 second', maximumAttempts: 8 },
    summary,
  });
  try {
    return await run<EngineResult<Name>>(local[name], input);
  } catch (error) {
    // Without the patch, which histories of 0.1.0 lack, a final failure of a local activity was asked for once more.
    if (isCancellation(error) || (isFinal(error) && patched('holdfast-final-local-failure'))) throw error;
  }
  const normal = proxyActivities<EngineActivities>({
    taskQueue: ENGINE_TASK_QUEUE,
    startToCloseTimeout: '30 seconds',
    retry: { initialInterval: '1 second', maximumInterval: '10 seconds' },
    summary,
  });
  return run<EngineResult<Name>>(normal[name], input);
}

// The proxies' mapped types do not follow a name that is itself a type parameter.
function run<Result>(activity: unknown, input: unknown): Promise<Result> {
  return (activity as (input: unknown) => Promise<Result>)(input);
}

/** SDK 1.24 gives the failure of a local activity as it was thrown, not within an `ActivityFailure`. */
function isFinal(error: unknown): boolean {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  return cause instanceof ApplicationFailure && cause.nonRetryable === true;
}
