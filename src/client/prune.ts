import type { Client } from '@temporalio/client';
import { HoldfastError } from '../contracts/errors.js';
import type { Store } from '../store/database.js';
import {
  chainsThatMayReferTo,
  countPrunable,
  deleteBlobsOfTenant,
  deleteUntouchedBlobs,
  listOpenChains,
  listUntouchedBlobs,
  measureBlobs,
  nextPrunable,
  type PruneScope,
  pruneChains,
  type RecordCounts,
  readAnyBlobs,
} from '../store/prune.js';
import { hasGrpcCode, NOT_FOUND } from './grpc.js';
import { historyTexts } from './history-texts.js';
import { scheduledInputs, schedulesOf } from './schedules.js';
import type { TemporalLink } from './temporal-link.js';

export interface PruneOptions {
  /** Chains that ended longer ago go, in milliseconds. At least as old as Temporal's own retention. */
  readonly olderThanMs: number;
  readonly tenant?: string;
  /** Receipts stay, without what was said. Default: they go with their chains. */
  readonly keepReceipts?: boolean;
  /** Only count. */
  readonly dryRun?: boolean;
}

export interface EraseOptions {
  readonly tenant: string;
  /** Cancel what is open first. Default: refuse. */
  readonly cancelOpen?: boolean;
  readonly keepReceipts?: boolean;
  readonly dryRun?: boolean;
}

export interface PruneReport extends RecordCounts {
  readonly dryRun: boolean;
  readonly blobs: number;
  readonly blobBytes: number;
  /** Chains that ended before this went; null for an erasure, which takes all. */
  readonly closedBefore: string | null;
  /** Workflow executions that were deleted in Temporal; an erasure does that. */
  readonly workflows: number;
  readonly notes: readonly string[];
}

/** What pruning does to open chains. */
type Cancel = (id: string) => Promise<{ readonly state: string }>;

const HOUR_MS = 3_600_000;

/** Blobs touched within it are in use: see `IS_STALE` in the store, which is half of it. */
const IN_USE_MS = 2 * HOUR_MS;

/** A chain that was started without intake gets its row with its first step, after its input was stored. */
const ROW_LAG_MS = 24 * HOUR_MS;

/** What looks like the address of a blob counts as one: better too many are kept than one too few. */
const ADDRESS = /(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])/g;

/**
 * Deletes chains that ended long ago, with their attempts, holds, and the blobs that nothing refers to any more. Safe to
 * run twice, beside running workers, and to be cut short. Throws `TEMPORAL_UNREACHABLE`: Temporal's histories refer to
 * blobs as well.
 */
export async function prune(store: Store, temporal: TemporalLink, options: PruneOptions): Promise<PruneReport> {
  const { tenant, keepReceipts = false, dryRun = false } = options;
  const now = Date.now();
  const notes: string[] = [];
  const retentionMs = await temporal.use(retentionOf);
  if (retentionMs > options.olderThanMs) {
    notes.push(
      `Chains stay at least as long as Temporal keeps their histories (${retentionMs / HOUR_MS} h in ${temporal.namespace}): a reset there would pay again without them.`,
    );
  }
  const closedBefore = new Date(now - Math.max(options.olderThanMs, retentionMs));
  const scope: PruneScope = { namespace: temporal.namespace, closedBefore, keepReceipts, ...(tenant && { tenant }) };
  const records = dryRun ? await countPrunable(store, scope) : await pruneAll(store, scope);
  const untouchedSince = new Date(Math.min(closedBefore.getTime(), now - IN_USE_MS));
  const collected = await collectBlobs(store, temporal, { untouchedSince, closedBefore, tenant, dryRun, notes });
  return { dryRun, ...records, ...collected, closedBefore: closedBefore.toISOString(), workflows: 0, notes };
}

async function retentionOf(client: Client): Promise<number> {
  const { namespace } = client.options;
  const { config } = await client.workflowService.describeNamespace({ namespace });
  return Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) * 1_000;
}

async function pruneAll(
  store: Store,
  scope: PruneScope,
  before: (ids: readonly string[]) => Promise<void> = async () => {},
): Promise<RecordCounts> {
  const sum = { chains: 0, attempts: 0, holds: 0 };
  for (;;) {
    const ids = await nextPrunable(store, scope);
    if (ids.length === 0) return sum;
    await before(ids);
    const { chains, attempts, holds } = await pruneChains(store, scope, ids);
    sum.chains += chains;
    sum.attempts += attempts;
    sum.holds += holds;
  }
}

interface Collection {
  readonly untouchedSince: Date;
  readonly closedBefore: Date;
  readonly tenant: string | undefined;
  readonly dryRun: boolean;
  readonly notes: string[];
}

/**
 * Deletes blobs that were not touched for long, except what chains that are kept may still read. Whoever starts to use one
 * meanwhile touches it, and the deletion of a row looks at that once more.
 */
async function collectBlobs(
  store: Store,
  temporal: TemporalLink,
  { untouchedSince, closedBefore, tenant, dryRun, notes }: Collection,
): Promise<{ blobs: number; blobBytes: number }> {
  const sum = { blobs: 0, blobBytes: 0 };
  let after = { tenant: '', address: '' };
  let kept: Kept | undefined;
  for (;;) {
    const batch = await listUntouchedBlobs(store, untouchedSince, tenant, after);
    const last = batch.at(-1);
    if (last === undefined) return sum;
    kept ??= await findKept(store, temporal, untouchedSince, closedBefore, notes);
    const { addresses, tenants } = kept;
    const garbage = batch.filter((blob) => !addresses.has(blob.address) && !tenants.has(blob.tenant));
    sum.blobs += dryRun ? garbage.length : await deleteUntouchedBlobs(store, untouchedSince, garbage);
    sum.blobBytes += garbage.reduce((total, { bytes }) => total + bytes, 0);
    after = last;
  }
}

interface Kept {
  readonly addresses: ReadonlySet<string>;
  /** Tenants whose chains run in a namespace that cannot be looked into. */
  readonly tenants: ReadonlySet<string>;
}

/** Whatever looks like an address in the rows and histories of old chains that are kept, and in the blobs which these name. */
async function findKept(
  store: Store,
  temporal: TemporalLink,
  untouchedSince: Date,
  closedBefore: Date,
  notes: string[],
): Promise<Kept> {
  const addresses = new Set<string>();
  const tenants = new Set<string>();
  const looked = new Set<string>();
  const fresh: string[] = [];
  const mark = (text: string): void => {
    for (const [address] of text.matchAll(ADDRESS)) {
      if (addresses.has(address)) continue;
      addresses.add(address);
      fresh.push(address);
    }
  };
  const since = new Date(untouchedSince.getTime() + ROW_LAG_MS);
  const markHistory = async (id: string): Promise<void> => {
    looked.add(id);
    for (const text of await temporal.use((client) => payloadsOf(client, id))) mark(text);
  };
  for await (const { id, tenant, namespace, text } of chainsThatMayReferTo(store, since, closedBefore)) {
    mark(text);
    if (namespace === null || namespace === temporal.namespace) await markHistory(id);
    else tenants.add(tenant);
  }
  // Those that have no row yet.
  const query = `ExecutionStatus = "Running" AND StartTime < "${since.toISOString()}"`;
  const open = await temporal.use(async (client) => {
    const ids: string[] = [];
    for await (const { workflowId } of client.workflow.list({ query })) ids.push(workflowId);
    return ids;
  });
  for (const id of open) if (!looked.has(id)) await markHistory(id);
  // Those of chains that are to come.
  for (const text of await temporal.use(scheduledInputs)) mark(text);
  while (fresh.length > 0) {
    const next = fresh.splice(0, 50);
    for (const bytes of await readAnyBlobs(store, next)) mark(bytes.toString('latin1'));
  }
  if (tenants.size > 0) {
    notes.push(`Blobs of ${[...tenants].join(', ')} stay: some of their chains run in another namespace.`);
  }
  return { addresses, tenants };
}

/** The payloads of a workflow's history as text; none when Temporal does not know it any more. */
async function payloadsOf(client: Client, id: string): Promise<string[]> {
  try {
    const { events } = await client.workflow.getHandle(id).fetchHistory();
    return [...historyTexts(events)];
  } catch (error) {
    if (hasGrpcCode(error, NOT_FOUND)) return [];
    throw error;
  }
}

/**
 * Deletes everything of a tenant: chains, attempts, holds, blobs, its schedules and its workflow executions in Temporal. Open
 * chains are cancelled on request. Safe to run twice. Throws `BAD_USAGE` when chains are open, `FAILED` when one did not end in time
 * or another one was submitted meanwhile.
 */
export async function eraseTenant(
  store: Store,
  temporal: TemporalLink,
  { tenant, cancelOpen = false, keepReceipts = false, dryRun = false }: EraseOptions,
  cancel: Cancel,
): Promise<PruneReport> {
  const open = await listOpenChains(store, tenant);
  const scope: PruneScope = { namespace: temporal.namespace, closedBefore: null, tenant, keepReceipts };
  const notes: string[] = [];
  const report = { dryRun, closedBefore: null, notes };
  if (dryRun) {
    if (open.length > 0) notes.push(`${open.length} of its chains are open: an erasure refuses or cancels them.`);
    return { ...report, ...(await countPrunable(store, scope)), ...(await measureBlobs(store, tenant)), workflows: 0 };
  }
  if (open[0] !== undefined && !cancelOpen) {
    throw new HoldfastError(
      'BAD_USAGE',
      `Tenant ${JSON.stringify(tenant)} has ${open.length} open ${open.length === 1 ? 'chain' : 'chains'}, the oldest ${open[0].id} (${open[0].state}). Nothing was erased.`,
      'Wait until they have ended, or add --cancel-open.',
    );
  }
  // First: what they would start meanwhile would be left.
  await temporal.use(async (client) => {
    for (const name of await schedulesOf(client, tenant)) await client.schedule.getHandle(name).delete();
  });
  for (const { id } of open) {
    const { state } = await cancel(id);
    if (state !== 'cancelled' && state !== 'completed' && state !== 'failed') {
      throw unfinished(tenant, `${id} is ${state} and has not ended yet`);
    }
  }
  let workflows = 0;
  const records = await pruneAll(store, scope, async (ids) => {
    for (const id of ids) workflows += await temporal.use((client) => deleteExecutions(client, id));
  });
  let blobs = 0;
  let blobBytes = 0;
  for (;;) {
    const sizes = await deleteBlobsOfTenant(store, tenant);
    if (sizes === null) throw unfinished(tenant, 'it has a chain again, or one in another namespace');
    if (sizes.length === 0) break;
    blobs += sizes.length;
    blobBytes += sizes.reduce((total, size) => total + size, 0);
  }
  return { ...report, ...records, blobs, blobBytes, workflows };
}

function unfinished(tenant: string, why: string): HoldfastError {
  return new HoldfastError(
    'FAILED',
    `The erasure of tenant ${JSON.stringify(tenant)} is not complete: ${why}.`,
    'Run it again: what is erased stays so.',
  );
}

/** Deletes all runs of a workflow; one that is open is terminated by that. */
async function deleteExecutions(client: Client, workflowId: string): Promise<number> {
  const { namespace } = client.options;
  const runs = new Set<string>();
  const query = `WorkflowId = "${workflowId.replaceAll(/["\\]/g, '\\$&')}"`;
  for await (const { runId } of client.workflow.list({ query })) runs.add(runId);
  // The newest one, should visibility not have it yet.
  const known = await client.workflow.getHandle(workflowId).describe().catch(unlessGone);
  if (known !== undefined) runs.add(known.runId);
  for (const runId of runs) {
    await client.workflowService
      .deleteWorkflowExecution({ namespace, workflowExecution: { workflowId, runId } })
      .catch(unlessGone);
  }
  return runs.size;
}

function unlessGone(error: unknown): undefined {
  if (!hasGrpcCode(error, NOT_FOUND)) throw error;
  return undefined;
}
