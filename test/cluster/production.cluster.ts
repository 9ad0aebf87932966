import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ROOT } from '../support/compose.js';
import { CHAINS, DocumentChains, interruptedAttempts, paidAgain } from '../support/document-chains.js';
import { cleanEnvironment, StackProcess } from '../support/stack-process.js';
import { type ClusterPart, TemporalCluster } from './temporal-cluster.js';
import { findGo } from './temporal-programs.js';

const run = promisify(execFile);
const say = (line: string): boolean => process.stderr.write(`${line}\n`);

const go = await findGo();
if (go === null)
  say('SKIPPED: Temporal is built with Go, and there is no `go` on the PATH. See https://go.dev/doc/install.');

describe.skipIf(go === null)('on a real Temporal with the settings of docker-compose.yml', () => {
  let cluster: TemporalCluster;
  /** The simulated Claude only; Temporal, the database and the workers are those of the cluster. */
  let stack: StackProcess;
  let chains: DocumentChains;
  let round = 0;

  beforeAll(async () => {
    cluster = await TemporalCluster.start(say);
    stack = await StackProcess.start({ ...cluster.env, HOLDFAST_WORKERS: '0' });
  });
  afterAll(async () => {
    await stack?.stop();
    await cluster?.stop();
  });
  beforeEach(async () => {
    round += 1;
    chains = new DocumentChains(stack, String(round));
    await stack.simulator('DELETE', 'calls');
    await stack.simulator('PUT', 'latency', { firstTokenMs: 1_500, msPerOutputToken: 2, msPerInputToken: 0 });
  });

  async function withWorkers(count: number, play: (first: ClusterPart) => Promise<void>): Promise<void> {
    const { modelUrl } = await stack.ready();
    const workers: ClusterPart[] = [];
    try {
      while (workers.length < count) workers.push(await cluster.startWorker(modelUrl as string));
      await play(workers[0] as ClusterPart);
    } finally {
      await Promise.all(workers.map((worker) => worker.stop()));
    }
  }

  test('the server knows every setting of the dynamic configuration, is healthy, and has metrics', async () => {
    expect(await cluster.complaintsAboutSettings()).toEqual([]);
    expect((await fetch(cluster.healthUrl)).status).toBe(200);
    expect(await (await fetch(cluster.metricsUrl)).text()).toContain('service_requests');
  });

  test('what sets up the schema and the namespace can run again', async () => {
    await cluster.runSetUp('temporal-schema');
    await cluster.runSetUp('temporal-namespace');
  });

  test('the demo completes its three chains', async () => {
    const { stdout } = await run(process.execPath, ['--import', 'tsx', 'examples/demo.ts'], {
      cwd: ROOT,
      env: cleanEnvironment({ ...cluster.env, HOLDFAST_DIR: join(cluster.directory, 'demo') }),
    });
    expect(stdout.match(/^── .* ── completed, \$0\.\d+$/gm)).toHaveLength(3);
  });

  test('a worker is healthy by the check of docker-compose.yml, and has metrics', async () => {
    await withWorkers(1, async ({ healthUrl }) => {
      const response = await fetch(healthUrl);
      expect(response.status).toBe(200);
      expect(await response.text()).toContain('temporal_worker_task_slots_available');
    });
  });

  test('the HTTP server is healthy by the check of docker-compose.yml, and takes a chain and the decision on it', async () => {
    const token = randomBytes(24).toString('hex');
    const server = await cluster.startServer(token);
    try {
      expect(await (await fetch(server.healthUrl)).json()).toEqual({ status: 'ok', postgres: 'ok', temporal: 'ok' });
      const post = async (path: string, body: unknown) => {
        const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
        const response = await fetch(`${server.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
        expect([path, response.ok]).toEqual([path, true]);
        return (await response.json()) as { readonly id: string };
      };
      await stack.simulator('PUT', 'faults', [
        { kind: 'refusal', match: { contains: 'Now write a summary' }, times: 1 },
      ]);
      await withWorkers(1, async () => {
        const input = { document: chains.document(0) };
        const { id } = await post('/v1/chains', { chain: 'analyzeDocument', input });
        await stack.use(async (client) => {
          expect((await client.wait(id)).state).toBe('held');
          await post(`/v1/chains/${id}/decisions`, { verdict: 'retry', by: 'a test' });
          await chains.finish(client, id);
        });
      });
    } finally {
      await server.stop();
    }
  });

  describe('ten chains in flight finish, and no finished step is paid again, when', () => {
    test('their worker is killed while calls are open, and another one takes over', async () => {
      await withWorkers(1, async (first) => {
        await stack.use(async (client, store) => {
          const ids = await chains.submitAll(client);
          const open = await chains.untilCalls('open', CHAINS);
          process.kill(first.pid, 'SIGKILL');
          await withWorkers(1, async () => {
            await chains.finishAll(client, ids);
          });
          const calls = await stack.calls();
          const openAtKill = new Set(open.map(({ requestHash }) => requestHash));
          expect(paidAgain(calls).filter((hash) => !openAtKill.has(hash))).toEqual([]);
          expect(await interruptedAttempts(store, ids)).toBe(CHAINS);
          expect(calls.filter(({ state }) => state === 'succeeded')).toHaveLength(2 * CHAINS + paidAgain(calls).length);
        });
      });
    });

    test.each([
      ['the server of Temporal is killed', () => cluster.killTemporal()],
      ['PostgreSQL is killed, which holds the store and all of Temporal', () => cluster.killPostgres()],
    ])('%s', async (_, kill) => {
      await withWorkers(2, async () => {
        const ids = await stack.use((client) => chains.submitAll(client));
        await chains.untilCalls('open', CHAINS);
        await kill();
        await stack.use(async (client, store) => {
          await chains.finishAll(client, ids);
          const calls = await stack.calls();
          expect(paidAgain(calls)).toEqual([]);
          expect(calls).toHaveLength(2 * CHAINS);
          expect(await interruptedAttempts(store, ids)).toBe(0);
        });
      });
    });
  });

  test('a copy of the stopped PostgreSQL brings a held chain back, which goes on without paying its first step again', async () => {
    const backUp = join(cluster.directory, 'back-up');
    const retryHeld = (id: string) =>
      stack.use(async (client) => {
        expect((await client.status(id)).state).toBe('held');
        await client.decide(id, { verdict: 'retry', by: 'a test' });
        await chains.finish(client, id);
      });
    let id = '';
    await withWorkers(1, async () => {
      await stack.simulator('PUT', 'faults', [
        { kind: 'refusal', match: { contains: 'Now write a summary' }, times: 1 },
      ]);
      await stack.use(async (client) => {
        ({ id } = await client.submit({ chain: 'analyzeDocument', input: { document: chains.document(0) } }));
        expect((await client.wait(id)).state).toBe('held');
      });
    });
    await cluster.whileStopped((data) => run('cp', ['-a', data, backUp]));
    await withWorkers(1, () => retryHeld(id));
    await cluster.whileStopped(async (data) => {
      await run('rm', ['-r', data]);
      await run('mv', [backUp, data]);
    });
    await withWorkers(1, () => retryHeld(id));
    const answered = (await stack.calls()).filter(({ state }) => state === 'succeeded');
    // The summary was refused, answered, and answered again, since the store that had the answer is gone.
    expect(answered).toHaveLength(4);
    expect(answered.filter(({ lastUserText }) => lastUserText.includes('Now write a summary'))).toHaveLength(3);
  });
});
