/** Reads what a run left behind, by queries of its own. */
import { type Connection, Connection as TemporalConnection } from '@temporalio/client';
import PQueue from 'p-queue';
import pg from 'pg';
import type { AttemptRow, ChainRow, Evidence, History, HoldRow } from './check.js';
import type { Addresses } from './stack.js';

/** Integers of 64 bits as numbers. */
const INT8 = 20;
const types = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format as 'text'),
} as pg.CustomTypesConfig;

/** What Temporal's API calls the ends of workflows, and the causes for which a task failed. */
const STATUS = ['unknown', 'running', 'completed', 'failed', 'cancelled', 'terminated', 'continued', 'timed out'];
const NON_DETERMINISTIC = 24;

const LEFTOVERS = {
  openAttempts: `SELECT FROM attempt WHERE state = 'open'`,
  quotaClaims: 'SELECT FROM quota_claim',
  scopeClaims: 'SELECT FROM scope_claim',
  parkedCalls: 'SELECT FROM parked',
  contentSlots: 'SELECT FROM chain WHERE content_slot AND closed_at IS NOT NULL',
};

/** Connections past all links, for the questions of the run and of the checker. */
export class Witness {
  readonly #pool: pg.Pool;

  constructor(private readonly addresses: Addresses) {
    this.#pool = new pg.Pool({ connectionString: addresses.databaseUrl, max: 2, types, query_timeout: 30_000 });
    this.#pool.on('error', () => {});
    this.#pool.on('connect', (client) => client.on('error', () => {}));
  }

  close(): Promise<void> {
    return this.#pool.end();
  }

  chains(): Promise<ChainRow[]> {
    return this.#rows('SELECT id, key, state, first_run_id FROM chain ORDER BY created_at');
  }

  /** Open holds of open chains, and what their chains are called. */
  openHolds(): Promise<(HoldRow & { key: string })[]> {
    return this.#rows(
      `SELECT h.chain_id, h.id, h.kind, h.verdict, c.key FROM hold h JOIN chain c ON c.id = h.chain_id
       WHERE h.decided_at IS NULL AND c.closed_at IS NULL ORDER BY h.opened_at`,
    );
  }

  async records(): Promise<Pick<Evidence, 'chains' | 'attempts' | 'holds' | 'leftovers'>> {
    const leftovers: Record<string, number> = {};
    for (const [name, query] of Object.entries(LEFTOVERS)) leftovers[name] = (await this.#rows(query)).length;
    return {
      chains: await this.chains(),
      attempts: await this.#rows<AttemptRow>('SELECT * FROM attempt ORDER BY id'),
      holds: await this.#rows<HoldRow>('SELECT chain_id, id, kind, verdict FROM hold'),
      leftovers,
    };
  }

  async histories(ids: readonly string[]): Promise<History[]> {
    const connection = await TemporalConnection.connect({ address: this.addresses.temporalAddress });
    try {
      const queue = new PQueue({ concurrency: 8 });
      const found = await queue.addAll(ids.map((id) => () => historyOf(connection, id)));
      return found.flatMap((history) => history ?? []);
    } finally {
      await connection.close();
    }
  }

  async #rows<Row extends pg.QueryResultRow>(query: string): Promise<Row[]> {
    return (await this.#pool.query<Row>(query)).rows;
  }
}

async function historyOf({ workflowService }: Connection, workflowId: string): Promise<History | undefined> {
  const of = { namespace: 'default', execution: { workflowId } };
  try {
    const { workflowExecutionInfo } = await workflowService.describeWorkflowExecution(of);
    let failedReplays = 0;
    let nextPageToken: Uint8Array | undefined;
    do {
      const page = await workflowService.getWorkflowExecutionHistory({ ...of, nextPageToken });
      for (const { workflowTaskFailedEventAttributes: failed } of page.history?.events ?? []) {
        if (failed?.cause === NON_DETERMINISTIC) failedReplays += 1;
      }
      nextPageToken = page.nextPageToken;
    } while (nextPageToken !== undefined && nextPageToken.length > 0);
    return { id: workflowId, end: STATUS[workflowExecutionInfo?.status ?? 0] ?? 'unknown', failedReplays };
  } catch (error) {
    // gRPC's code for what there is not.
    if ((error as { code?: unknown }).code === 5) return undefined;
    throw error;
  }
}
