import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import proto from '@temporalio/proto';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { quietTemporal } from '../../src/cli/quiet-temporal.js';
import { HoldfastClient } from '../../src/client/holdfast-client.js';
import { linkTemporal } from '../../src/client/temporal-link.js';
import { loadConfig } from '../../src/config/index.js';
import type { Application } from '../../src/contracts/chain-definition.js';
import { DEFAULT_QUOTA } from '../../src/contracts/quotas.js';
import type { NamedHistory } from '../../src/replay/read-history.js';
import { replayHistories } from '../../src/replay/replay-histories.js';
import { openStore } from '../../src/store/database.js';
import { migrate } from '../../src/store/migrate.js';
import { createPayloadCodec } from '../../src/store/payload-codec.js';
import { refusal, type ScriptedCall, scriptedModel } from '../../src/testing.js';
import { startWorker } from '../../src/workers/worker.js';
import { workerSettings } from '../../src/workers/worker-settings.js';
import { claimSteps } from '../support/claims-steps.js';
import { createDatabase } from '../support/database.js';
import { createDevServer } from '../support/dev-server.js';
import { until } from '../support/stack-process.js';

const { RoutingConfigUpdateState } = proto.temporal.api.enums.v1;
const DEPLOYMENT = 'claims';
const KINDS = ['waits', 'calls'] as const;
const HELD = 100;
// The held ones last: their step then fails for everybody, and no call of it would begin.
const CLAIMS = Array.from({ length: 50 + HELD }, (_, index) => ({
  kind: index < 50 ? (KINDS[index % 2] as string) : 'held',
  index,
}));
const nameOf = ({ kind, index }: (typeof CLAIMS)[number]) => `claim-${index}-${kind}`;
const open = (kind: string) => CLAIMS.filter((claim) => claim.kind === kind).length;

const codeOf = (file: string) => fileURLToPath(new URL(`../support/${file}.ts`, import.meta.url));
const appOf = (version: 1 | 2): Application => ({
  chains: { handleClaim: { input: z.object({ claim: z.string(), waits: z.boolean() }), steps: ['readClaim'] } },
  steps: claimSteps(version),
  workflowsPath: codeOf(`claims-v${version}`),
});

let environment: TestWorkflowEnvironment;
let databaseUrl: string;
const directory = mkdtempSync(`${tmpdir()}/holdfast-upgrade-`);
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  quietTemporal();
  [environment, databaseUrl] = await Promise.all([createDevServer(), createDatabase()]);
});
afterAll(async () => {
  for (const close of closing.reverse()) await close();
  await environment?.teardown();
  rmSync(directory, { recursive: true, force: true });
});

const REFUSED = /v1: decide .*-held/;

/** What the provider says: version 1 asks for decisions that it refuses, or that take until they are let go. */
let letGo = (): void => {};
const gate = new Promise<void>((resolve) => {
  letGo = resolve;
});
const model = scriptedModel(async ({ prompt }) => {
  if (REFUSED.test(prompt)) return refusal('I would rather not.');
  if (/v1: decide .*-calls/.test(prompt)) await gate;
  return `answer to ${prompt}`;
});

const prompts = (state: ScriptedCall['state'], pattern: RegExp) =>
  model.calls.filter((call) => call.state === state && pattern.test(call.prompt)).map(({ prompt }) => prompt);

async function startVersion(version: 1 | 2) {
  const config = {
    ...(await loadConfig({ env: {}, cwd: directory })),
    quota: {
      ...DEFAULT_QUOTA,
      requestsPerMinute: 1_000_000,
      inputTokensPerMinute: 1_000_000_000,
      outputTokensPerMinute: 1_000_000_000,
    },
    deployment: { name: DEPLOYMENT, buildId: `v${version}` },
  };
  const targets = { temporal: { address: environment.address, namespace: 'default' }, databaseUrl };
  const worker = await startWorker(workerSettings(config, targets, appOf(version), () => {}, model));
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= worker.stop();
    return stopped;
  };
  closing.push(stop);
  const { workflowService } = environment.connection;
  const request = { namespace: 'default', deploymentName: DEPLOYMENT, buildId: `v${version}` };
  const makeCurrent = async () => {
    // Temporal knows a version from its first poll on, and tells its queues of a new current one bit by bit.
    await until(`version ${version} is current`, () =>
      workflowService.setWorkerDeploymentCurrentVersion(request).catch(() => undefined),
    );
    await until(`the queues know of version ${version}`, async () => {
      const { workerDeploymentInfo } = await workflowService.describeWorkerDeployment(request);
      return (
        workerDeploymentInfo?.routingConfigUpdateState ===
        RoutingConfigUpdateState.ROUTING_CONFIG_UPDATE_STATE_COMPLETED
      );
    });
  };
  return { makeCurrent, stop };
}

async function differing(histories: readonly NamedHistory[], code: string): Promise<string[]> {
  async function* each() {
    yield* histories;
  }
  const found: string[] = [];
  for await (const { name, difference } of replayHistories(codeOf(code), each())) {
    if (difference !== null) found.push(name);
  }
  return found;
}

test('100 held chains and 50 others go on with a new version of their code and prompts, and no finished step is paid again', async () => {
  const store = openStore(databaseUrl);
  await migrate(store);
  const temporal = linkTemporal({ address: environment.address, namespace: 'default' }, createPayloadCodec(store));
  closing.push(
    () => store.close(),
    () => temporal.close(),
  );
  const limits = { maxInputBytes: 1_000_000, contextWindowOf: () => null };
  const client = new HoldfastClient({ store, temporal, app: appOf(1), limits });

  const first = await startVersion(1);
  await first.makeCurrent();
  const submitAll = (claims: typeof CLAIMS) =>
    Promise.all(
      claims.map(async (claim) => {
        const input = { claim: nameOf(claim), waits: claim.kind === 'waits' };
        return { ...claim, id: (await client.submit({ chain: 'handleClaim', input })).id };
      }),
    );
  const others = await submitAll(CLAIMS.filter(({ kind }) => kind !== 'held'));
  await until('the calls are open', async () => prompts('open', /decide .*-calls/).length === open('calls'));
  const chains = [...others, ...(await submitAll(CLAIMS.filter(({ kind }) => kind === 'held')))];
  const idsOf = (kind: string) => chains.filter((chain) => chain.kind === kind).map(({ id }) => id);
  const hasTimer = async (id: string) =>
    (await client.history(id)).events?.some((event) => event.timerStartedEventAttributes != null);
  const count = (query: string) => environment.client.workflow.count(query).then((result) => result.count);
  await until('every chain is where it should be', async () => {
    const calling = prompts('open', /decide .*-calls/).length === open('calls');
    const reading = prompts('answered', /read/).length === CLAIMS.length;
    return calling && reading && (await count("HoldfastState = 'held'")) === open('held');
  });
  await Promise.all(idsOf('waits').map((id) => until(`${id} waits`, () => hasTimer(id))));

  const ids = await client.openChains();
  expect(ids.toSorted()).toEqual(chains.map(({ id }) => id).toSorted());
  const histories = await Promise.all(ids.map(async (name) => ({ name, history: await client.history(name) })));
  expect(await differing(histories, 'claims-v2')).toEqual([]);
  // Only those that are past the new step: the others would take it as new.
  const past = [...idsOf('held'), ...idsOf('calls')];
  expect((await differing(histories, 'claims-unpatched')).toSorted()).toEqual(past.toSorted());

  const second = await startVersion(2);
  await second.makeCurrent();
  // Any version may take a model call, so that the new prompts are certain from here on. Open calls are waited for.
  const stopped = first.stop();
  letGo();
  await stopped;
  const redriven = await client.deadLetters.retryAll({ chain: 'handleClaim' }, { by: 'the deploy', atOnce: 50 });
  expect(redriven).toMatchObject({ total: open('held'), succeeded: open('held'), heldAgain: 0, gone: 0 });
  await Promise.all(idsOf('waits').map((id) => environment.client.workflow.getHandle(id).signal('release')));
  await Promise.all(
    chains.map(async ({ id, kind, index }) => {
      const status = await client.wait(id, { throughHolds: true });
      // A call that version 1 had begun was finished there; what begins after the deploy has the new prompt.
      const version = kind === 'calls' ? 1 : 2;
      const output = { output: `answer to v${version}: decide ${nameOf({ kind, index })}.`, checked: kind === 'waits' };
      expect(status).toMatchObject({ state: 'completed', output });
      // The records are ahead of Temporal, which learns of a version when its task has ended.
      const workflow = environment.client.workflow.getHandle(id);
      await workflow.result();
      const { raw } = await workflow.describe();
      expect(raw.workflowExecutionInfo?.versioningInfo?.deploymentVersion).toMatchObject({ buildId: 'v2' });
    }),
  );

  // What was refused before the deploy is paid too, but finished no step; most were held without a call.
  const refused = prompts('answered', REFUSED);
  expect(new Set(refused).size).toBe(refused.length);
  const finished = prompts('answered', /./).filter((prompt) => !REFUSED.test(prompt));
  const steps = finished.map((prompt) => prompt.replace(/^v\d: /, ''));
  expect(new Set(steps).size).toBe(steps.length);
  expect(steps).toHaveLength(2 * CLAIMS.length + open('waits'));
  expect(prompts('answered', /v2: read/)).toEqual([]);
  expect(await count("HoldfastState = 'completed'")).toBe(CLAIMS.length);
}, 300_000);
