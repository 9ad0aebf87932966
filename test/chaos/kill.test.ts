import { randomUUID } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Store } from '../../src/store/database.js';
import { CHAINS, DocumentChains, interruptedAttempts, paidAgain } from '../support/document-chains.js';
import { StackProcess, until } from '../support/stack-process.js';

let stack: StackProcess;
let round = 0;
let chains: DocumentChains;

beforeAll(async () => {
  stack = await StackProcess.start();
});
afterAll(() => stack?.stop());
beforeEach(async () => {
  round += 1;
  chains = new DocumentChains(stack, String(round));
  await stack.simulator('DELETE', 'calls');
  await stack.simulator('PUT', 'latency', { firstTokenMs: 1_500, msPerOutputToken: 2, msPerInputToken: 0 });
});

/** Tokens of all receipts of these chains, for comparison with what the provider says it charged. */
async function receiptTokens(store: Store, ids: readonly string[]): Promise<{ input: number; output: number }> {
  const { rows } = await sql<{ input: number; output: number }>`
    SELECT sum(input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens)::int AS input,
      sum(output_tokens)::int AS output
    FROM attempt WHERE chain_id = ANY(${ids}) AND state = 'succeeded' AND kind <> 'reuse'`.execute(store.db);
  return rows[0] as { input: number; output: number };
}

async function killWorker(): Promise<void> {
  const { processes } = await stack.ready();
  const [pid] = processes.worker;
  process.kill(pid as number, 'SIGKILL');
  await stack.untilReady((ready) => !ready.processes.worker.includes(pid as number));
}

describe('ten chains in flight finish, and no finished step is paid again, when', () => {
  test('the worker is killed while calls are open', async () => {
    await stack.use(async (client, store) => {
      const ids = await chains.submitAll(client);
      const open = await chains.untilCalls('open', 5);
      await killWorker();
      await chains.finishAll(client, ids);
      const calls = await stack.calls();
      const openAtKill = new Set(open.map(({ requestHash }) => requestHash));
      expect(paidAgain(calls).filter((hash) => !openAtKill.has(hash))).toEqual([]);
      expect(await interruptedAttempts(store, ids)).toBeGreaterThanOrEqual(open.length);
      expect(calls.filter(({ state }) => state === 'succeeded')).toHaveLength(2 * CHAINS + paidAgain(calls).length);
      // What was reserved for the dead worker goes as well.
      await until('no claim is left', async () => (await store.pool.query('SELECT FROM quota_claim')).rowCount === 0);
    });
  });

  test('the worker is killed after an answer is stored and before it is reported', async () => {
    await stack.use(async (client, store) => {
      const ids = await chains.submitAll(client);
      await chains.untilCalls('open', CHAINS);
      // A stopped server takes no report; killed, it also loses what the sockets still held. So the worker's kill falls
      // between store and report for every call.
      const { temporal, worker } = (await stack.ready()).processes;
      process.kill(temporal as number, 'SIGSTOP');
      try {
        await chains.untilCalls('succeeded', CHAINS);
        await until('all answers are stored', async () => {
          const rows = await store.db
            .selectFrom('attempt')
            .select('id')
            .where('chain_id', 'in', ids)
            .where('state', '=', 'succeeded')
            .execute();
          return rows.length === CHAINS;
        });
      } finally {
        // Also when that failed: a server that stays stopped would make all later tests fail.
        process.kill(temporal as number, 'SIGKILL');
      }
      process.kill(worker[0] as number, 'SIGKILL');
      await stack.untilReady(({ processes }) => processes.temporal !== temporal && processes.worker[0] !== worker[0]);
      const statuses = await chains.finishAll(client, ids);
      const calls = await stack.calls();
      expect(paidAgain(calls)).toEqual([]);
      expect(calls).toHaveLength(2 * CHAINS);
      expect(await interruptedAttempts(store, ids)).toBe(0);
      expect(statuses.every(({ steps }) => steps[0]?.fromJournal)).toBe(true);
    });
  });

  test('the worker is killed after the answer came and before it is stored', async () => {
    await stack.use(async (client, store) => {
      const ids = await chains.submitAll(client);
      const open = await chains.untilCalls('open', CHAINS);
      await store.db.transaction().execute(async (trx) => {
        await sql`LOCK TABLE attempt IN SHARE ROW EXCLUSIVE MODE`.execute(trx);
        await chains.untilCalls('succeeded', CHAINS);
        const { processes } = await stack.ready();
        process.kill(processes.worker[0] as number, 'SIGKILL');
      });
      await chains.finishAll(client, ids);
      const again = paidAgain(await stack.calls());
      const lost = await interruptedAttempts(store, ids);
      expect(again.every((hash) => open.some(({ requestHash }) => requestHash === hash))).toBe(true);
      expect(lost).toBe(again.length);
    });
  });

  test('the Temporal server is killed', async () => {
    await stack.use(async (client, store) => {
      const ids = await chains.submitAll(client);
      await chains.untilCalls('open', 5);
      const { temporal } = (await stack.ready()).processes;
      process.kill(temporal as number, 'SIGKILL');
      await stack.untilReady((ready) => ready.processes.temporal !== temporal);
      await chains.finishAll(client, ids);
      const calls = await stack.calls();
      expect(paidAgain(calls)).toEqual([]);
      expect(calls).toHaveLength(2 * CHAINS);
      expect(await interruptedAttempts(store, ids)).toBe(0);
    });
  });

  test('PostgreSQL is killed', async () => {
    const ids = await stack.use((client) => chains.submitAll(client));
    await chains.untilCalls('open', 5);
    const { postgres } = (await stack.ready()).processes;
    process.kill(postgres as number, 'SIGKILL');
    await stack.untilReady((ready) => ready.processes.postgres !== postgres);
    await stack.use(async (client, store) => {
      await chains.finishAll(client, ids);
      const calls = await stack.calls();
      expect(paidAgain(calls)).toEqual([]);
      expect(calls.filter(({ state }) => state === 'succeeded')).toHaveLength(2 * CHAINS);
      const charged = calls.reduce((sum, { usage }) => sum + usage.output_tokens, 0);
      expect((await receiptTokens(store, ids)).output).toBe(charged);
    });
  });

  test('the supervisor itself is killed, and started again', async () => {
    const ids = await stack.use((client) => chains.submitAll(client));
    await chains.untilCalls('open', 5);
    await stack.restart('SIGKILL');
    await stack.simulator('PUT', 'latency', { firstTokenMs: 100, msPerOutputToken: 0, msPerInputToken: 0 });
    await stack.use(async (client, store) => {
      await chains.finishAll(client, ids);
      // Which part dies first is open. The call of a worker that dies last has failed; another's is interrupted.
      const attempts = await store.db.selectFrom('attempt').select('state').where('chain_id', 'in', ids).execute();
      const count = (state: string) => attempts.filter((attempt) => attempt.state === state).length;
      expect(count('succeeded')).toBe(2 * CHAINS);
      expect(count('interrupted') + count('failed')).toBe(attempts.length - 2 * CHAINS);
    });
  });
});

describe('a reset in Temporal', () => {
  test('of a chain that was held, retried and completed pays nothing again, and its row follows', async () => {
    await stack.simulator('PUT', 'faults', [{ kind: 'refusal', times: 1 }]);
    await stack.use(async (client) => {
      const { id } = await client.submit({ chain: 'analyzeDocument', input: { document: chains.document(0) } });
      expect((await client.wait(id)).state).toBe('held');
      await client.decide(id, { verdict: 'retry', by: 'a test' });
      const before = await client.wait(id);
      expect(before.state).toBe('completed');
      const paid = (await stack.calls()).length;

      const { temporalAddress } = await stack.ready();
      const connection = await Connection.connect({ address: temporalAddress as string });
      const temporal = new Client({ connection });
      const { runId } = await temporal.workflow.getHandle(id).describe();
      const { workflowService } = connection;
      // The generated types want a Long, and promise to return nothing.
      const request = {
        namespace: 'default',
        workflowExecution: { workflowId: id, runId },
        reason: 'a test',
        workflowTaskFinishEventId: 4,
        requestId: randomUUID(),
      } as unknown as Parameters<typeof workflowService.resetWorkflowExecution>[0];
      const reset = (await workflowService.resetWorkflowExecution(request)) as unknown as { runId: string };
      await temporal.workflow.getHandle(id, reset.runId).result();
      await connection.close();

      const after = await client.status(id);
      expect(after.state).toBe('completed');
      expect(after.output).toEqual(before.output);
      expect(after.costMicroUsd).toBe(before.costMicroUsd);
      expect(after.steps.every(({ fromJournal }) => fromJournal)).toBe(true);
      expect(await stack.calls()).toHaveLength(paid);
    });
  });
});
