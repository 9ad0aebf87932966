import type { StepCall } from '../contracts/activities.js';
import type { StepEdit } from '../contracts/holds.js';
import type { Turn } from '../contracts/models.js';
import type { AnyStep } from '../contracts/steps.js';
import type { Store } from '../store/database.js';
import { listStepEdits } from '../store/holds.js';
import { textTurn } from './prepare-call.js';

/** A call with the edits that people have decided on. */
export interface EditedCall<Call> {
  readonly step: AnyStep;
  readonly call: Call;
  /** Edits the turns before this call; undefined when they stay, and with them the conversation that is continued. */
  readonly editTurns?: (turns: readonly Turn[]) => Turn[];
}

/** All edits of a call up to its revision, as one. */
export async function readEdit(
  store: Store,
  chainId: string,
  { firstRunId, step, call, revision = 0 }: Pick<StepCall, 'firstRunId' | 'step' | 'call' | 'revision'>,
): Promise<StepEdit> {
  if (revision === 0) return {};
  const edits = await listStepEdits(store, { chainId, firstRunId }, { step, call });
  return edits.slice(0, revision).reduce(addEdit, {});
}

/** Both ways to edit the conversation are of the conversation as it was: the later one counts. */
function addEdit(earlier: StepEdit, later: StepEdit): StepEdit {
  const { dropTurns: _, summary: __, ...others } = earlier;
  const editsTurns = later.dropTurns !== undefined || later.summary !== undefined;
  return { ...(editsTurns ? others : earlier), ...later };
}

/** Puts an edit in the place of what the step and the chain say. */
export function editCall<Call extends Pick<StepCall, 'priority'> & { readonly input?: unknown }>(
  step: AnyStep,
  call: Call,
  edit: StepEdit,
): EditedCall<Call> {
  const { input, prompt, system, model, account, maxTokens, lane, priority, dropTurns, summary } = edit;
  return {
    step: {
      ...step,
      ...(model === undefined ? {} : { model }),
      ...(account === undefined ? {} : { account: account ?? undefined }),
      ...(maxTokens === undefined ? {} : { maxTokens }),
      ...(lane === undefined ? {} : { lane }),
      ...(system === undefined ? {} : { system }),
      ...(prompt === undefined ? {} : { prompt: () => prompt }),
    },
    call: {
      ...call,
      ...(input === undefined ? {} : { input }),
      ...(priority === undefined ? {} : { priority }),
    },
    ...(summary === undefined ? {} : { editTurns: () => summarised(summary) }),
    ...(dropTurns === undefined ? {} : { editTurns: (turns) => dropped(turns, dropTurns) }),
  };
}

/** The model is to see a conversation, in which it has the last word. */
function summarised(summary: string): Turn[] {
  return [textTurn('user', `Summary of our conversation so far:\n\n${summary}`), textTurn('assistant', 'Understood.')];
}

/** A conversation begins with the user: the answer to a turn that is left out goes with it. */
function dropped(turns: readonly Turn[], count: number): Turn[] {
  const kept = turns.slice(count);
  const first = kept.findIndex(({ role }) => role === 'user');
  return first === -1 ? [] : kept.slice(first);
}
