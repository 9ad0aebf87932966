import { type ChildProcess, fork } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { HoldfastClient } from '../../src/client/holdfast-client.js';
import { linkTemporal } from '../../src/client/temporal-link.js';
import { openStore, type Store } from '../../src/store/database.js';
import { migrate } from '../../src/store/migrate.js';
import { createPayloadCodec } from '../../src/store/payload-codec.js';
import { createDatabase } from '../support/database.js';
import { createDevServer } from '../support/dev-server.js';
import { scopedApp } from '../support/scoped-app.js';
import { until } from '../support/stack-process.js';

const EVENTS = 50;
const GATED = 20;
const OTHERS = 10;

const directory = mkdtempSync(join(tmpdir(), 'holdfast-scopes-'));
const gate = join(directory, 'gate');
const workers: ChildProcess[] = [];
let environment: TestWorkflowEnvironment;
let store: Store;
let client: HoldfastClient;
let closeLink: () => Promise<void>;

async function startWorkerProcess(databaseUrl: string): Promise<ChildProcess> {
  const path = fileURLToPath(new URL('../support/scoped-worker.ts', import.meta.url));
  const child = fork(path, [environment.address, databaseUrl, gate], {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  workers.push(child);
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve());
    child.once('exit', (code) => reject(new Error(`The worker ended with ${code}.`)));
  });
  return child;
}

beforeAll(async () => {
  chmodSync(directory, 0o755);
  const [server, databaseUrl] = await Promise.all([createDevServer(), createDatabase()]);
  environment = server;
  store = openStore(databaseUrl);
  await migrate(store);
  const link = linkTemporal({ address: server.address, namespace: 'default' }, createPayloadCodec(store));
  closeLink = () => link.close();
  const limits = { maxInputBytes: 10_000, contextWindowOf: () => null };
  client = new HoldfastClient({ store, temporal: link, app: scopedApp, limits });
  // One after another: the number under which each shows that it lives is then its place.
  for (let count = 0; count < 3; count += 1) await startWorkerProcess(databaseUrl);
});
afterAll(async () => {
  for (const worker of workers) worker.kill('SIGKILL');
  await closeLink?.();
  await store?.close();
  await environment?.teardown();
  rmSync(directory, { recursive: true, force: true });
});

/** When each chain's calls began and ended, in the order in which the chains came. */
async function spans(ids: readonly string[]) {
  const rows = await store.db
    .selectFrom('attempt')
    .innerJoin('chain', 'chain.id', 'attempt.chain_id')
    .select(({ fn }) => ['chain.id', fn.min('attempt.started_at').as('from'), fn.max('attempt.finished_at').as('to')])
    .where('chain.id', 'in', [...ids])
    .groupBy('chain.id')
    .orderBy('chain.created_at')
    .execute();
  return rows as { id: string; from: Date; to: Date }[];
}

const submit = async (customer: string, event: string): Promise<string> =>
  (await client.submit({ chain: 'handleEvent', input: { customer, event } })).id;

test('50 events of one entity run one at a time, in order, while 10 others go on; kill -9 in the middle keeps it so', async () => {
  writeFileSync(gate, '');
  const events: string[] = [];
  for (let number = 1; number <= EVENTS; number += 1) {
    events.push(await submit('busy', number === GATED ? 'gated' : `event ${number}`));
  }
  const before = await Promise.all(Array.from({ length: OTHERS }, (_, other) => submit(`other ${other}`, 'before')));
  const looks = await client.submit({
    chain: 'lookUp',
    input: Array.from({ length: 5 }, (_, number) => ({ customer: 'busy elsewhere', event: `look ${number}` })),
  });
  // Others go on beside the one that is stuck in a call.
  const open = await until('the gated event is in its call', () =>
    store.db
      .selectFrom('attempt')
      .select('worker')
      .where('chain_id', '=', events[GATED - 1] as string)
      .where('state', '=', 'open')
      .executeTakeFirst(),
  );
  for (const id of before) expect((await client.wait(id)).state).toBe('completed');
  expect((await client.status(events[GATED] as string)).steps).toEqual([]);

  process.kill(workers[(open.worker as number) - 1]?.pid as number, 'SIGKILL');
  const after = await Promise.all(Array.from({ length: OTHERS }, (_, other) => submit(`other ${other}`, 'after')));
  for (const id of after) expect((await client.wait(id)).state).toBe('completed');
  const held = await store.db.selectFrom('attempt').select('id').where('chain_id', 'in', events.slice(GATED)).execute();
  expect(held).toEqual([]);
  rmSync(gate);
  for (const id of [...events, looks.id]) expect((await client.wait(id)).state).toBe('completed');

  const busy = await spans(events);
  expect(busy.map(({ id }) => id)).toEqual(events);
  const overlaps = busy.filter(({ from }, index) => index > 0 && from < (busy[index - 1] as { to: Date }).to);
  expect(overlaps).toEqual([]);
  const interrupted = await store.db
    .selectFrom('attempt')
    .select('chain_id')
    .where('state', '=', 'interrupted')
    .execute();
  expect(interrupted).toEqual([{ chain_id: events[GATED - 1] }]);
  expect(await store.db.selectFrom('scope_claim').selectAll().execute()).toEqual([]);
}, 180_000);
