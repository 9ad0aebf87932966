import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { z } from 'zod';
import { defineChain, defineStep } from '../../src/agents/define.js';
import type { HoldfastClientOptions } from '../../src/client/holdfast-client.js';
import type { TemporalLink } from '../../src/client/temporal-link.js';
import { DEFAULT_LANE_POLICIES } from '../../src/contracts/lanes.js';
import type { Store } from '../../src/store/database.js';
import { tenantWeight } from '../../src/store/weights.js';
import { ChainTestEnvironment } from '../../src/testing.js';

const prompt = (input: { text?: string; document?: string }) => input.text ?? input.document ?? 'summarize';
const model = 'claude-haiku-5-5';

const app = {
  chains: {
    inSequence: defineChain({ input: z.array(z.string()), steps: ['echo'] }),
    analyzeDocument: defineChain({ input: z.object({ document: z.string() }), steps: ['analyze', 'summarize'] }),
  },
  steps: {
    echo: defineStep({ model, prompt }),
    analyze: defineStep({ model, prompt }),
    summarize: defineStep({ model, prompt }),
  },
  workflowsPath: fileURLToPath(new URL('../support/chains.ts', import.meta.url)),
};

let temporary: string;
let environment: ChainTestEnvironment<typeof app>;
let store: Store;
let temporal: TemporalLink;
beforeAll(async () => {
  temporary = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
  // PostgreSQL does not run as root; whoever it runs as must be able to enter.
  chmodSync(temporary, 0o755);
  vi.stubEnv('TMPDIR', temporary);
  const { fast, heavy } = DEFAULT_LANE_POLICIES;
  // One call at a time, so that the others stand in Temporal's queue.
  const config = { lanes: { fast: { ...fast, concurrency: 1 }, heavy } };
  environment = await ChainTestEnvironment.start({ app, temporal: 'dev', databaseUrl: inject('postgresUrl'), config });
  // The environment has a database and a Temporal of its own and tells nobody where.
  ({ store, temporal } = Reflect.get(environment.client, 'options') as HoldfastClientOptions);
});
afterAll(async () => {
  await environment?.stop();
  vi.unstubAllEnvs();
  rmSync(temporary, { recursive: true, force: true });
});

/** Waits until the call of a chain stands in the queue. */
async function untilQueued(id: string): Promise<void> {
  const steps = async () => (await environment.client.status(id)).steps;
  await expect.poll(steps, { timeout: 30_000 }).toMatchObject([{ state: 'queued' }]);
}

/** The priority key of the call that a chain has in the queue. */
async function queuedWith(id: string): Promise<number | null | undefined> {
  const { raw } = await temporal.use((client) => client.workflow.getHandle(id).describe());
  return raw.pendingActivities?.[0]?.priority?.priorityKey;
}

const eventsOf = async (id: string) => (await environment.client.history(id)).events?.length;

describe('the priority of a chain', () => {
  test('is changed while its call stands in the queue, without history, and for its later steps', async () => {
    let release = (_: string): void => {};
    const first = new Promise<string>((resolve) => {
      release = resolve;
    });
    const scripted = environment.script((call) => (call.prompt === 'blocks' ? first : 'done'));
    const submit = async (texts: string[]) =>
      (await environment.client.submit({ chain: 'inSequence', input: texts, tenant: texts[0] as string })).id;
    const ids = [await submit(['blocks'])];
    await scripted.waitForCall({ prompt: 'blocks' });
    for (const texts of [['a'], ['b'], ['urgent', 'urgent again']]) {
      const id = await submit(texts);
      await untilQueued(id);
      ids.push(id);
    }
    const own = (await environment.client.submit({ chain: 'analyzeDocument', input: { document: 'own' } })).id;
    await untilQueued(own);
    ids.push(own);
    const [, a, b, urgent] = ids as [string, string, string, string];
    const before = await eventsOf(urgent);
    expect(await environment.client.reprioritize(urgent, 'high')).toMatchObject({ priority: 'high', moved: 1 });
    expect(await environment.client.reprioritize(a, 'low')).toMatchObject({ moved: 1 });
    // Its step has said itself that it is urgent.
    expect(await environment.client.reprioritize(own, 'low')).toMatchObject({ moved: 0 });
    expect(await eventsOf(urgent)).toBe(before);
    // What Temporal's queue goes by; in which order it gives tasks out is the server's own matter.
    expect(await Promise.all([urgent, a, b, own].map(queuedWith))).toEqual([1, 5, 3, 1]);
    release('done');
    for (const id of ids) expect(await environment.wait(id)).toMatchObject({ state: 'completed' });
    const { events } = await environment.client.history(urgent);
    const keys = (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: scheduled }) =>
      scheduled ? [scheduled.priority?.priorityKey] : [],
    );
    expect(keys).toEqual([3, 1]);
    expect(await environment.client.status(urgent)).toMatchObject({ priority: 'high' });
  });

  test('is one of three, of a chain that is open', async () => {
    environment.script({ echo: 'done' });
    const { id } = await environment.run('inSequence', ['ended']);
    await expect(environment.client.reprioritize(id, 'high')).rejects.toMatchObject({ code: 'ALREADY_CLOSED' });
    await expect(environment.client.reprioritize(id, 'urgent')).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    await expect(environment.client.reprioritize('none', 'high')).rejects.toMatchObject({ code: 'CHAIN_NOT_FOUND' });
  });
});

describe("a tenant's weight", () => {
  test('is 1 until somebody changes it, and again when it is given back', async () => {
    const { client } = environment;
    expect(await tenantWeight(store, 'acme')).toBe(1);
    expect(await client.setWeight('acme', 2.5)).toEqual({ tenant: 'acme', weight: 2.5 });
    await client.setWeight('other', 1_000);
    await client.setWeight('other', 0.5);
    await expect.poll(() => tenantWeight(store, 'acme'), { timeout: 10_000 }).toBe(2.5);
    expect(await client.weights()).toEqual([
      { tenant: 'acme', weight: 2.5 },
      { tenant: 'other', weight: 0.5 },
    ]);
    await client.setWeight('acme', 1);
    await client.setWeight('other', 1);
    expect(await client.weights()).toEqual([]);
  });

  test.each([0, -1, 1_000.1, Number.NaN, Number.POSITIVE_INFINITY])('is never %d', async (weight) => {
    await expect(environment.client.setWeight('acme', weight)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    expect(await environment.client.weights()).toEqual([]);
  });
});
