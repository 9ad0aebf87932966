import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { NodePart } from '../../src/embedded/node-part.js';
import { ROOT } from '../support/compose.js';
import { CHAINS, DocumentChains, interruptedAttempts, paidAgain } from '../support/document-chains.js';
import { cleanEnvironment, StackProcess } from '../support/stack-process.js';
import { TemporalCluster } from './temporal-cluster.js';
import { findGo } from './temporal-programs.js';

const say = (line: string): boolean => process.stderr.write(`${line}\n`);

const go = await findGo();
if (go === null)
  say('SKIPPED: the cluster is built with Go, and there is no `go` on the PATH. See https://go.dev/doc/install.');

describe.skipIf(go === null)('on a real Temporal with the settings of docker-compose.yml', () => {
  let cluster: TemporalCluster;
  beforeAll(async () => {
    cluster = await TemporalCluster.start(say);
  });
  afterAll(() => cluster?.stop());

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
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', 'examples/demo.ts'], {
      cwd: ROOT,
      env: cleanEnvironment({ ...cluster.env, HOLDFAST_DIR: join(cluster.directory, 'demo') }),
    });
    expect(stdout.match(/^── .* ── completed, \$0\.\d+$/gm)).toHaveLength(3);
  });

  describe('ten chains in flight finish, and no finished step is paid again, when', () => {
    /** The simulated Claude; Temporal, the database and the workers are those of the cluster. */
    let stack: StackProcess;
    let model: string;
    let chains: DocumentChains;
    let round = 0;

    beforeAll(async () => {
      stack = await StackProcess.start({ ...cluster.env, HOLDFAST_WORKERS: '0' });
      model = (await stack.ready()).modelUrl as string;
    });
    afterAll(() => stack?.stop());
    beforeEach(async () => {
      round += 1;
      chains = new DocumentChains(stack, String(round));
      await stack.simulator('DELETE', 'calls');
      await stack.simulator('PUT', 'latency', { firstTokenMs: 1_500, msPerOutputToken: 2, msPerInputToken: 0 });
    });

    async function withWorkers(count: number, play: (workers: NodePart[]) => Promise<void>): Promise<void> {
      const workers: NodePart[] = [];
      try {
        while (workers.length < count) workers.push(await cluster.startWorker(model));
        await play(workers);
      } finally {
        await Promise.all(workers.map((worker) => worker.stop()));
      }
    }

    test('their worker is killed while calls are open, and another one takes over', async () => {
      await withWorkers(1, async ([first]) => {
        await stack.use(async (client, store) => {
          const ids = await chains.submitAll(client);
          const open = await chains.untilCalls('open', CHAINS);
          process.kill((first as NodePart).pid, 'SIGKILL');
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
      ['the Temporal server is killed', () => cluster.killTemporal()],
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

  test('a worker is healthy by the check of docker-compose.yml', async () => {
    const worker = await cluster.startWorker('http://127.0.0.1:9');
    try {
      const response = await fetch(worker.healthUrl);
      expect(response.status).toBe(200);
      expect(await response.text()).toContain('temporal_worker_task_slots_available');
    } finally {
      await worker.stop();
    }
  });
});
