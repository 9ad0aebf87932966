import { tmpdir } from 'node:os';
import { WorkflowUpdateFailedError } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { defineChain } from '../../src/agents/define.js';
import { HoldfastClient } from '../../src/client/holdfast-client.js';
import { linkTemporal } from '../../src/client/temporal-link.js';
import { loadConfig } from '../../src/config/index.js';
import { HoldfastError } from '../../src/contracts/errors.js';
import type { HoldOutcome } from '../../src/contracts/holds.js';
import { DECIDE_HOLD_SIGNAL, DECIDE_HOLD_UPDATE } from '../../src/contracts/messages.js';
import { openStore } from '../../src/store/database.js';
import { migrate } from '../../src/store/migrate.js';
import { createPayloadCodec } from '../../src/store/payload-codec.js';
import { scriptedModel } from '../../src/testing.js';
import { startWorker } from '../../src/workers/worker.js';
import { workerSettings } from '../../src/workers/worker-settings.js';
import { TEST_CHAINS } from '../support/chain-environment.js';
import { createDatabase } from '../support/database.js';
import { createDevServer } from '../support/dev-server.js';

/** `npm run race` runs a thousand. */
const RACES = Number(process.env.HOLDFAST_TEST_RACES ?? 48);
const AT_ONCE = 16;

const app = {
  chains: { approvals: defineChain({ input: z.array(z.unknown()), steps: [] }) },
  steps: {},
  workflowsPath: TEST_CHAINS,
};

let environment: TestWorkflowEnvironment;
/** Two applications, with connections of their own. */
const clients: HoldfastClient[] = [];
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const [server, databaseUrl] = await Promise.all([createDevServer(), createDatabase()]);
  environment = server;
  closing.push(() => environment.teardown());
  const temporal = { address: environment.address, namespace: 'default' };
  for (let count = 0; count < 2; count += 1) {
    const store = openStore(databaseUrl);
    await migrate(store);
    const link = linkTemporal(temporal, createPayloadCodec(store));
    const limits = { maxInputBytes: 10_000, contextWindowOf: () => null };
    clients.push(new HoldfastClient({ store, temporal: link, app, limits }));
    closing.push(
      () => store.close(),
      () => link.close(),
    );
  }
  const config = await loadConfig({ env: {}, cwd: tmpdir() });
  const settings = workerSettings(config, { temporal, databaseUrl }, app, () => {}, scriptedModel({}));
  const worker = await startWorker(settings);
  closing.push(() => worker.stop());
});
afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

/** What a decider was told: that it won, or who did; a signal is told nothing. */
type Told = 'won' | { readonly by: string; readonly at: string } | null;
type Decider = (id: string, holdId: string, by: string) => Promise<Told>;

function toldBy(message: string): Told {
  const match = /already decided by (?<by>.+?) at (?<at>\S+): approve/.exec(message);
  if (match?.groups === undefined) throw new Error(`It says neither who nor when: ${message}`);
  return { by: match.groups.by as string, at: match.groups.at as string };
}

const byClient =
  (index: number): Decider =>
  async (id, holdId, by) => {
    try {
      const { holds } = await (clients[index] as HoldfastClient).decide(id, { verdict: 'approve', by }, holdId);
      expect(holds).toMatchObject([{ id: holdId, outcome: { accepted: true, decision: { by } } }]);
      return 'won';
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'ALREADY_DECIDED') return toldBy(error.message);
      throw error;
    }
  };

const byUpdate: Decider = async (id, holdId, by) => {
  try {
    const handle = environment.client.workflow.getHandle(id);
    const args: [object] = [{ holdId, verdict: 'approve', by }];
    const { accepted, decision } = await handle.executeUpdate<HoldOutcome, [object]>(DECIDE_HOLD_UPDATE, { args });
    return accepted ? 'won' : { by: decision.by, at: decision.at };
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) return toldBy(error.cause?.message ?? '');
    throw error;
  }
};

const bySignal: Decider = async (id, holdId, by) => {
  const message = { holdId, verdict: 'approve', by };
  await environment.client.workflow.getHandle(id).signal(DECIDE_HOLD_SIGNAL, message);
  return null;
};

const CONTESTS: Readonly<Record<string, readonly Decider[]>> = {
  'two clients': [byClient(0), byClient(1)],
  'a client and an update': [byClient(0), byUpdate],
  'a client and a signal': [byClient(1), bySignal],
  'two updates': [byUpdate, byUpdate],
  'an update and a signal': [byUpdate, bySignal],
  'two clients, an update and a signal': [byClient(0), byClient(1), byUpdate, bySignal],
};

/** One approval with deciders at the same moment; returns which of them won, after everybody agreed on it. */
async function race(name: string, deciders: readonly Decider[]): Promise<number> {
  const client = clients[0] as HoldfastClient;
  // The second approval keeps the chain open, so that an update that comes late is answered by it.
  const proposals = ['contested', 'kept'].map((what) => ({ category: what, proposal: name }));
  const { id } = await client.submit({ chain: 'approvals', input: proposals });
  const holds = await expect
    .poll(async () => (await client.status(id)).holds, { timeout: 30_000 })
    .toHaveLength(2)
    .then(async () => (await client.status(id)).holds);
  const idOf = (category: string) => holds.find(({ step }) => step === category)?.id as string;
  const told = await Promise.all(deciders.map((decide, index) => decide(id, idOf('contested'), `decider ${index}`)));
  await client.decide(id, { verdict: 'reject', by: 'the test' }, idOf('kept'));
  const { output } = await client.wait(id);
  const [{ by: winner, at }] = output as [{ by: string; at: string }];
  const won = deciders.findIndex((_decider, index) => winner === `decider ${index}`);
  for (const [index, answer] of told.entries()) {
    if (index === won) expect(['won', null]).toContain(answer);
    else if (answer !== null) expect(answer).toEqual({ by: winner, at });
  }
  return won;
}

describe(`${RACES} approvals with several deciders at the same moment have one winner each, and the others are told`, () => {
  const each = Math.ceil(RACES / Object.keys(CONTESTS).length);

  test.each(Object.entries(CONTESTS))('%s', { timeout: 600_000 }, async (name, deciders) => {
    const wins = deciders.map(() => 0);
    for (let done = 0; done < each; done += AT_ONCE) {
      const numbers = Array.from({ length: Math.min(AT_ONCE, each - done) }, (_, index) => done + index);
      const winners = await Promise.all(numbers.map((number) => race(`${name} ${number}`, deciders)));
      for (const won of winners) wins[won] = (wins[won] ?? Number.NaN) + 1;
    }
    // Nobody else won, whatever it was called.
    expect(wins.reduce((sum, count) => sum + count)).toBe(each);
    if (process.env.HOLDFAST_TEST_RACES !== undefined)
      process.stdout.write(`${name}: ${wins.join(' + ')} of ${each}\n`);
  });
});
