import { type InjectedSinks, Worker } from '@temporalio/worker';
import type { ReplaySinks } from '../contracts/replay.js';
import { bundleWorkflows } from '../workers/bundle.js';
import { type Command, commandOfCode } from './commands.js';
import { type Difference, firstDifference } from './first-difference.js';
import type { NamedHistory } from './read-history.js';

/** How one history went. */
export interface Replayed {
  readonly name: string;
  /** Type of the workflow. */
  readonly chain: string;
  readonly events: number;
  /** Null when the present code does what the history has. */
  readonly difference: Difference | null;
}

/**
 * Replays histories one after another against the workflow code in `workflowsPath`. No activity runs, no server and no
 * store is asked. Throws `BAD_CONFIGURATION` when the code cannot be bundled.
 */
export async function* replayHistories(
  workflowsPath: string,
  histories: AsyncIterable<NamedHistory>,
): AsyncGenerator<Replayed> {
  const workflowBundle = await bundleWorkflows(workflowsPath, { forReplay: true });
  let present: NamedHistory | undefined;
  let reached = 0;
  let commands: Command[] = [];
  const sinks: InjectedSinks<ReplaySinks> = {
    holdfastReplay: {
      reached: {
        fn: (_info, eventId) => {
          reached = eventId;
        },
        callDuringReplay: true,
      },
      gave: {
        fn: (_info, given) => {
          commands.push(...given.flatMap((command) => commandOfCode(command) ?? []));
        },
        callDuringReplay: true,
      },
    },
  };
  const untouched: NamedHistory[] = [];
  async function* pushed() {
    for await (const named of histories) {
      // The SDK's worker ends with an error when it is given one.
      if (!named.history.events?.some((event) => event.workflowTaskCompletedEventAttributes != null)) {
        untouched.push(named);
        continue;
      }
      present = named;
      reached = 0;
      commands = [];
      // Chains may make ids of children from their own.
      yield { workflowId: startOf(named)?.workflowId || named.name, history: named.history };
    }
  }
  for await (const { error } of Worker.runReplayHistories({ workflowBundle, sinks }, pushed())) {
    const named = present as NamedHistory;
    const { events } = named.history;
    yield replayed(named, error === undefined ? null : firstDifference(error, events ?? [], { reached, commands }));
  }
  // No code has run for these yet, so that any code fits.
  for (const named of untouched) yield replayed(named, null);
}

function replayed(named: NamedHistory, difference: Difference | null): Replayed {
  const { name, history } = named;
  const chain = startOf(named)?.workflowType?.name ?? '';
  return { name, chain, events: history.events?.length ?? 0, difference };
}

function startOf({ history }: NamedHistory) {
  return history.events?.[0]?.workflowExecutionStartedEventAttributes;
}
