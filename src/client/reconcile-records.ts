import type { Client, WorkflowExecutionInfo } from '@temporalio/client';
import { decodeArrayFromPayloads } from '@temporalio/common/lib/internal-non-workflow/index.js';
import { STEP_FAILURE } from '../contracts/activities.js';
import { DEFAULT_TENANT } from '../contracts/chains.js';
import { DECIDE_HOLD_SIGNAL, type DecideSignalInput, MEMO_CHAIN } from '../contracts/messages.js';
import { DEFAULT_PRIORITY, PRIORITIES, priorityKeyOf } from '../contracts/priority.js';
import { ENGINE_TASK_QUEUE } from '../contracts/queues.js';
import { isReasonCode } from '../contracts/reasons.js';
import { SEARCH_ATTRIBUTES } from '../contracts/search-attributes.js';
import { reconcileChain, viewWorkflow } from '../intake/reconcile.js';
import { startChain, startWorkflow } from '../intake/start-chain.js';
import { contentHashOf } from '../intake/validate.js';
import { delayedUntil, findChain, findChainHead } from '../store/chains.js';
import type { Store } from '../store/database.js';
import { listHolds, openHold } from '../store/holds.js';
import {
  type ComparedRow,
  findMissingBlobs,
  listPaidCalls,
  listRowsToCompare,
  moveToRun,
  restoreChainRow,
} from '../store/restore.js';
import { historyTexts } from './history-texts.js';
import type { TemporalLink } from './temporal-link.js';

/** How PostgreSQL and Temporal can disagree, as it happens when one of them was restored from an older copy. */
export type DifferenceKind =
  /** Temporal has a workflow, PostgreSQL no row of it, or one without tenant, key and input. */
  | 'row-missing'
  /** The row says queued; the workflow has run. */
  | 'row-behind'
  /** The row is open; the workflow has ended. */
  | 'workflow-ended'
  /** The row has ended; the workflow is open. */
  | 'workflow-behind'
  /** The row is open; Temporal has no workflow. */
  | 'workflow-missing'
  /** The row names another run than the one that Temporal has: its receipts would not be found. */
  | 'run-differs'
  /** The workflow is held; PostgreSQL has no hold that could be decided. */
  | 'hold-missing'
  /** PostgreSQL has an open hold; the workflow has not come to it yet. */
  | 'hold-ahead'
  /** The workflow has the result of a step that PostgreSQL has no receipt of. */
  | 'receipt-missing'
  /** The workflow refers to bytes that PostgreSQL does not have. */
  | 'blob-missing';

export interface Difference {
  readonly kind: DifferenceKind;
  readonly id: string;
  readonly message: string;
  /** What `--fix` does, or has done; null when nothing can or need be done. */
  readonly fix: string | null;
  /** What a person can do instead; null when nothing. */
  readonly command: string | null;
  readonly fixed: boolean;
}

interface Found extends Omit<Difference, 'fixed'> {
  readonly mend?: () => Promise<void>;
}

/**
 * Compares the records with Temporal, which changes nothing and pays for nothing. With `fix` it mends what it can. Run it
 * before workers start: they mend some of it by themselves, and a lost row is better written from its workflow's memo.
 */
export async function reconcileRecords(
  store: Store,
  temporal: TemporalLink,
  { fix = false }: { readonly fix?: boolean } = {},
): Promise<Difference[]> {
  const workflows = await temporal.use(listWorkflows);
  const rows = new Map((await listRowsToCompare(store, [...workflows.keys()])).map((row) => [row.id, row]));
  const found: Found[] = [];
  const context = { store, temporal };
  for (const workflow of workflows.values()) {
    const row = rows.get(workflow.workflowId);
    if (row?.namespace != null && row.namespace !== temporal.namespace) continue;
    found.push(...(await compare(context, workflow, row)));
  }
  for (const row of rows.values()) {
    if (workflows.has(row.id) || row.state === 'queued' || row.closed_at !== null) continue;
    if (row.namespace !== null && row.namespace !== temporal.namespace) continue;
    // Visibility may not know of a workflow that began a moment ago.
    const view = await temporal.use((client) => viewWorkflow(client, row.id));
    if (view.kind === 'missing') found.push(missingWorkflow(context, row));
  }
  const differences: Difference[] = [];
  for (const { mend, ...difference } of found) {
    if (fix) await mend?.();
    differences.push({ ...difference, fixed: fix && mend !== undefined });
  }
  return differences;
}

/** The newest run of each workflow on our task queue. */
async function listWorkflows(client: Client): Promise<Map<string, WorkflowExecutionInfo>> {
  const newest = new Map<string, WorkflowExecutionInfo>();
  for await (const workflow of client.workflow.list({ query: `TaskQueue = "${ENGINE_TASK_QUEUE}"` })) {
    const known = newest.get(workflow.workflowId);
    if (known === undefined || known.startTime < workflow.startTime) newest.set(workflow.workflowId, workflow);
  }
  return newest;
}

interface Context {
  readonly store: Store;
  readonly temporal: TemporalLink;
}

async function compare(
  context: Context,
  workflow: WorkflowExecutionInfo,
  row: ComparedRow | undefined,
): Promise<Found[]> {
  const { store, temporal } = context;
  const id = workflow.workflowId;
  const isOpen = workflow.status.name === 'RUNNING';
  const memo = workflow.memo?.[MEMO_CHAIN] as ChainMemo | undefined;
  if (row === undefined || (isOpen && lacksIntake(row, memo))) {
    // Without a memo it was started without intake: its first step writes all that there is to know.
    if (memo === undefined) return [];
    const rowMissing: Found = {
      kind: 'row-missing',
      id,
      message: `Its workflow is ${workflow.status.name.toLowerCase()}; PostgreSQL ${row === undefined ? 'has no row of it' : 'knows no tenant, key or input of it'}. Its key would start it a second time.`,
      fix: 'writes the row from what Temporal keeps',
      command: null,
      mend: async () => {
        await restoreRow(context, workflow, memo);
        if (!isOpen) await endRow(context, id);
      },
    };
    return isOpen ? [rowMissing, ...(await compareOpen(context, workflow, row, rowMissing))] : [rowMissing];
  }
  if (row.state === 'queued') {
    // Its workflow waits for its time.
    if (isOpen && delayedUntil(row) !== null) return [];
    return [
      {
        kind: 'row-behind',
        id,
        message: `PostgreSQL says queued; its workflow is ${workflow.status.name.toLowerCase()}. Workers take that over by themselves and do not start it again.`,
        fix: 'takes the state over now',
        command: null,
        mend: async () => {
          await temporal.use(async (client) => startChain(store, client, await findChain(store, id)));
          if (!isOpen) await endRow(context, id);
        },
      },
    ];
  }
  if (!isOpen) {
    if (row.closed_at !== null) return [];
    return [
      {
        kind: 'workflow-ended',
        id,
        message: `PostgreSQL says ${row.state}; its workflow is ${workflow.status.name.toLowerCase()}. Workers write its end by themselves.`,
        fix: 'writes its end now',
        command: null,
        mend: () => endRow(context, id),
      },
    ];
  }
  if (row.closed_at !== null) return [behindWorkflow(context, row)];
  return compareOpen(context, workflow, row);
}

/** Whether a row was written by a step of its workflow, after the one that intake had written was lost. */
function lacksIntake({ content_hash, input, key, title }: ComparedRow, memo: ChainMemo | undefined): boolean {
  if (memo === undefined || content_hash !== null || input !== null) return false;
  return key !== (memo.key ?? null) || title !== (memo.title ?? null);
}

/** A workflow that has not come as far as its row says. */
function behindWorkflow({ temporal }: Context, { id, state }: ComparedRow): Found {
  const message = `PostgreSQL says ${state}; its workflow is open again, at an earlier point.`;
  if (state === 'completed') {
    return {
      kind: 'workflow-behind',
      id,
      message: `${message} It comes to its end again over the answers that are stored; where it is held, only with the decision that was made.`,
      fix: 'tells it to look for the decisions that were made',
      command: null,
      mend: () => temporal.use((client) => lookForDecisions(client, id)),
    };
  }
  return {
    kind: 'workflow-behind',
    id,
    message: `${message} Workers refuse its steps, so that nothing more is paid.`,
    fix: 'terminates the workflow',
    command: `temporal workflow terminate --workflow-id ${id}`,
    mend: () => temporal.use(async (client) => void (await client.workflow.getHandle(id).terminate(`It is ${state}.`))),
  };
}

function missingWorkflow({ store, temporal }: Context, { id, state, input }: ComparedRow): Found {
  const message = `PostgreSQL says ${state}; Temporal has no workflow of it.`;
  const command = `holdfast cancel ${id}`;
  if (input === null) return { kind: 'workflow-missing', id, message, fix: null, command };
  return {
    kind: 'workflow-missing',
    id,
    message,
    fix: 'starts it again with its receipts: steps that have one are not paid again, the others are',
    command,
    mend: () =>
      moveToRun(store, id, async () => {
        const row = await findChain(store, id);
        if (row === undefined) throw new Error(`${id} has gone`);
        return temporal.use((client) => startWorkflow(client, row));
      }),
  };
}

/** Holds, receipts and bytes of a workflow that is open. */
async function compareOpen(
  context: Context,
  workflow: WorkflowExecutionInfo,
  row: ComparedRow | undefined,
  rowMissing?: Found,
): Promise<Found[]> {
  const { store, temporal } = context;
  const id = workflow.workflowId;
  const found: Found[] = [];
  const firstRunId = workflow.raw.firstRunId || workflow.runId;
  if (row !== undefined && row.first_run_id !== null && row.first_run_id !== firstRunId && rowMissing === undefined) {
    found.push({
      kind: 'run-differs',
      id,
      message: `PostgreSQL names the run ${row.first_run_id}, Temporal ${firstRunId}: what was paid would not be found.`,
      fix: 'moves the receipts and holds to the run of Temporal',
      command: null,
      mend: () => moveToRun(store, id, async () => firstRunId),
    });
  }
  const told = await temporal.use(async (client) => readHistory(await client.workflow.getHandle(id).fetchHistory()));
  const isHeld = workflow.searchAttributes[SEARCH_ATTRIBUTES.state.name]?.[0] === 'held';
  const holds = (await listHolds(store, id, firstRunId)).filter((hold) => hold.decided_at === null);
  if (isHeld && holds.length === 0) found.push(missingHold(context, id, firstRunId, told.failures));
  if (!isHeld && holds.length > 0) {
    const names = holds.map((hold) => hold.id).join(', ');
    const message = `PostgreSQL has the open ${names}; its workflow has not come to that yet. It will, and pays nothing on the way.`;
    found.push({ kind: 'hold-ahead', id, message, fix: null, command: null });
  }
  const paid = new Set(await listPaidCalls(store, id));
  const lost = [...told.completed].filter((call) => !paid.has(call));
  if (lost.length > 0) {
    const message = `The receipts of ${lost.join(', ')} are lost. Their results are in the workflow: they are not asked again, their costs are not known any more.`;
    found.push({ kind: 'receipt-missing', id, message, fix: null, command: null });
  }
  const blobs = await findMissingBlobs(store, [...told.addresses]);
  if (blobs.length > 0) {
    const message = `Its workflow refers to ${blobs.length} stored ${blobs.length === 1 ? 'text' : 'texts'} that PostgreSQL does not have: it cannot go on where it needs one.`;
    // Not `cancel`: a workflow whose own input is lost cannot take that.
    const command = `temporal workflow terminate --workflow-id ${id}, then submit it anew`;
    found.push({ kind: 'blob-missing', id, message, fix: null, command });
  }
  return found;
}

interface FailedCall {
  readonly holdId: string;
  readonly step: string;
  readonly call: number;
  readonly message: string;
}

/** Tells a workflow to look in the store for decisions about its holds. */
function lookForDecisions(client: Client, id: string): Promise<void> {
  const look: DecideSignalInput = {};
  return client.workflow.getHandle(id).signal(DECIDE_HOLD_SIGNAL, look);
}

function missingHold(
  { store, temporal }: Context,
  id: string,
  firstRunId: string,
  failures: readonly FailedCall[],
): Found {
  const message = 'Its workflow is held; PostgreSQL has no open hold of it that could be decided.';
  const command = `holdfast cancel ${id}, then submit it anew`;
  // Of an approval the proposal is lost with its row.
  if (failures.length === 0) return { kind: 'hold-missing', id, message, fix: null, command };
  return {
    kind: 'hold-missing',
    id,
    message,
    fix: `writes ${failures.map(({ holdId }) => holdId).join(', ')} from the workflow's history, or tells the workflow of the decision that was made`,
    command,
    mend: async () => {
      for (const { message: text, ...failure } of failures) {
        const [prefix = ''] = text.split(':', 1);
        const reason = isReasonCode(prefix) ? prefix : 'unknown';
        const hold = { ...failure, kind: 'failure', reason, message: text.slice(prefix.length + 2) || text } as const;
        await openHold(store, { chainId: id, firstRunId }, hold);
      }
      await temporal.use((client) => lookForDecisions(client, id));
    },
  };
}

interface ChainMemo {
  readonly tenant?: string;
  readonly key?: string | null;
  readonly title?: string | null;
}

async function restoreRow(
  { store, temporal }: Context,
  workflow: WorkflowExecutionInfo,
  memo: ChainMemo,
): Promise<void> {
  const id = workflow.workflowId;
  const priorityKey = workflow.raw.priority?.priorityKey;
  const input = await temporal.use((client) => inputOf(client, id));
  await restoreChainRow(store, {
    id,
    type: workflow.type,
    tenant: memo.tenant ?? DEFAULT_TENANT,
    priority: PRIORITIES.find((priority) => priorityKeyOf(priority, false) === priorityKey) ?? DEFAULT_PRIORITY,
    key: memo.key ?? null,
    title: memo.title ?? null,
    input: input === undefined ? null : JSON.stringify(input),
    contentHash: input === undefined ? null : contentHashOf(input),
    firstRunId: workflow.raw.firstRunId || workflow.runId,
    namespace: temporal.namespace,
    submittedAt: workflow.startTime,
    beginsAt: workflow.executionTime ?? workflow.startTime,
  });
}

/** What a workflow was started with; undefined when its bytes are lost. */
async function inputOf(client: Client, id: string): Promise<unknown> {
  const { events } = await client.workflow.getHandle(id).fetchHistory();
  const payloads = events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads;
  try {
    const [input] = await decodeArrayFromPayloads(client.options.loadedDataConverter, payloads);
    return input;
  } catch {
    return undefined;
  }
}

async function endRow({ store, temporal }: Context, id: string): Promise<void> {
  const head = await findChainHead(store, id);
  if (head !== undefined) await temporal.use((client) => reconcileChain(store, client, head));
}

/** The engine names its model activities `step-call` or `step-call-round`, and holds as them. */
const CALL_ID = /^(?<step>.+?)-(?<call>\d+)(?:-\d+)?$/;
/** What a history names of the store: payloads that travel as references, and conversations. */
const STORED = /"(?:address|conversation)":"(?<address>[0-9a-f]{64})"/g;

type History = Awaited<ReturnType<ReturnType<Client['workflow']['getHandle']>['fetchHistory']>>;

/** What a history says of step calls: those that have a result, the last ones that failed, and the blobs it names. */
function readHistory({ events }: History) {
  const scheduled = new Map<string, string>();
  const completed = new Set<string>();
  const failures = new Map<string, FailedCall>();
  const addresses = new Set<string>();
  for (const event of events ?? []) {
    for (const text of historyTexts(event)) {
      for (const { groups } of text.matchAll(STORED)) addresses.add(groups?.address as string);
    }
    const begun = event.activityTaskScheduledEventAttributes;
    if (begun?.activityType?.name === 'holdfastCallModel') {
      scheduled.set(String(event.eventId), begun.activityId ?? '');
    }
    const done = event.activityTaskCompletedEventAttributes ?? event.activityTaskFailedEventAttributes;
    const holdId = scheduled.get(String(done?.scheduledEventId)) ?? '';
    const { step, call } = CALL_ID.exec(holdId)?.groups ?? {};
    if (step === undefined) continue;
    const name = `${step}-${call}`;
    // A later round of the same call takes the place of the earlier one.
    failures.delete(name);
    const failure = event.activityTaskFailedEventAttributes?.failure;
    if (failure === undefined || failure === null) completed.add(name);
    else if (failure.applicationFailureInfo?.type === STEP_FAILURE) {
      failures.set(name, { holdId, step, call: Number(call), message: failure.message ?? '' });
    }
  }
  return { completed, failures: [...failures.values()], addresses };
}
