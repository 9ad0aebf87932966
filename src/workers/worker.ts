import { Client, Connection, isGrpcServiceError } from '@temporalio/client';
import { NativeConnection, Worker, type WorkerOptions } from '@temporalio/worker';
import { createEngineActivities } from '../activities/engine-activities.js';
import { createModelActivities, type ModelActivityDependencies } from '../activities/model-activities.js';
import type { StepRouting } from '../activities/route-step.js';
import { SharedQuota } from '../admission/shared-quota.js';
import type { TemporalTarget } from '../client/temporal-link.js';
import type { Application } from '../contracts/chain-definition.js';
import { checkScopes } from '../contracts/check-scopes.js';
import { HoldfastError } from '../contracts/errors.js';
import { LANES, type Lane, type LanePolicy } from '../contracts/lanes.js';
import type { ModelPort } from '../contracts/models.js';
import { channelsOf, type NotifyConfig } from '../contracts/notices.js';
import {
  accountGroup,
  DEFAULT_QUOTA_GROUP,
  ENGINE_TASK_QUEUE,
  lowTaskQueue,
  modelTaskQueue,
} from '../contracts/queues.js';
import type { QuotaLimits } from '../contracts/quotas.js';
import { flawOfReasons } from '../contracts/reasons.js';
import { temporalUnreachable } from '../intake/temporal-unreachable.js';
import { schemaForModel } from '../models/parse-output.js';
import { latestOutputs } from '../store/attempts.js';
import { openStore } from '../store/database.js';
import { announceWorker } from '../store/liveness.js';
import { migrate } from '../store/migrate.js';
import { createPayloadCodec } from '../store/payload-codec.js';
import { bundleWorkflows } from './bundle.js';
import { LaneSlots } from './lane-slots.js';
import { startNotifier } from './notifier.js';
import { registerSearchAttributes } from './search-attributes.js';
import { startSweeper } from './sweeper.js';

/** gRPC's status code. */
const UNIMPLEMENTED = 12;

/** `TASK_QUEUE_TYPE_ACTIVITY` of Temporal's API. */
const ACTIVITY_QUEUE = 2;

/** A tuner names slots of all kinds; the queues of model calls have activities alone. */
const UNUSED_SLOTS = {
  workflowTaskSlotSupplier: { type: 'fixed-size', numSlots: 1 },
  localActivityTaskSlotSupplier: { type: 'fixed-size', numSlots: 1 },
  nexusTaskSlotSupplier: { type: 'fixed-size', numSlots: 1 },
} as const;

/** What a worker process needs to know. The command line makes it from the configuration. */
export interface WorkerSettings {
  readonly temporal: TemporalTarget;
  readonly databaseUrl: string;
  readonly app: Application;
  readonly model: ModelPort;
  /** What the worker knows of models: estimates, contexts, prices, delays. */
  readonly knowledge: Pick<
    ModelActivityDependencies,
    'estimate' | 'forecast' | 'learn' | 'countedUse' | 'checkContext' | 'costMicroUsd' | 'retryDelayMs'
  > & {
    /** Told what the latest calls of earlier processes wrote, oldest first. */
    readonly remember: (calls: readonly { model: string; step: string; output: number }[]) => void;
  };
  readonly routing: StepRouting & {
    /** The quota groups that the configuration names; they are served whether or not a step uses them now. */
    readonly quotaGroups: readonly string[];
  };
  readonly lanes: Readonly<Record<Lane, LanePolicy>>;
  /** The most tokens that one answer of a model can have; null when it is not known. */
  readonly maxOutputTokensOf: (model: string) => number | null;
  readonly quotaOf: (quotaGroup: string) => QuotaLimits;
  /** How long calls that are open at a shutdown may take to finish, in milliseconds. */
  readonly shutdownGraceMs: number;
  /** The version that this worker is of. Default: none, and it takes chains from its start on. */
  readonly deployment?: { readonly name: string; readonly buildId: string };
  /** Who is told of what waits for a decision. Default: nobody. */
  readonly notify?: NotifyConfig;
  readonly log: (message: string) => void;
}

export interface RunningWorker {
  /** Resolves when the worker has stopped; rejects when it failed. */
  readonly stopped: Promise<void>;
  /** Takes no new work, lets open calls finish for a while, then resolves. */
  stop(): Promise<void>;
}

/**
 * Starts one worker process: workflows and the engine's activities on one task queue, and a queue of its own for each
 * (quota group, lane) of the registered steps. Resolves when it polls.
 */
export async function startWorker(settings: WorkerSettings): Promise<RunningWorker> {
  const { temporal, databaseUrl, app, routing, lanes, log } = settings;
  checkSteps(app, settings);
  checkScopes(app);
  const flaw = flawOfReasons(app.reasons ?? {});
  if (flaw !== undefined) throw new HoldfastError('BAD_CONFIGURATION', flaw, 'Correct the reasons of the application.');
  const closing: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    for (const step of closing.reverse())
      await step().catch((error: unknown) => log(`while stopping: ${String(error)}`));
  };
  try {
    const store = openStore(databaseUrl, { maxConnections: 20 });
    closing.push(() => store.close());
    await migrate(store);
    const identity = await announceWorker(store, databaseUrl);
    closing.push(() => identity.close());
    const bundle = await bundleWorkflows(app.workflowsPath);
    const { native, plain } = await connect(temporal);
    closing.push(
      () => native.close(),
      () => plain.close(),
    );
    await registerSearchAttributes(plain, temporal.namespace, log);

    const dataConverter = { payloadCodecs: [createPayloadCodec(store)] };
    const engine = createEngineActivities({
      store,
      steps: app.steps,
      chains: app.chains,
      routing,
      ...(app.scopes && { scopes: app.scopes }),
      ...(app.approvals && { approvals: app.approvals }),
      ...(app.reasons && { reasons: app.reasons }),
    });
    const shared: Pick<WorkerOptions, 'connection' | 'namespace' | 'dataConverter' | 'shutdownGraceTime'> & object = {
      connection: native,
      namespace: temporal.namespace,
      dataConverter,
      shutdownGraceTime: settings.shutdownGraceMs,
    };
    const workers = [
      await Worker.create({
        ...shared,
        taskQueue: ENGINE_TASK_QUEUE,
        workflowBundle: bundle,
        ...versioning(settings),
        // How long a workflow task waits for a worker that has the chain in memory. That one may have been killed, and
        // the default of 10 s would be the longest part of its chains' recovery.
        stickyQueueScheduleToStartTimeout: '3 seconds',
        // Chains that are submitted together would otherwise all begin before the first of them goes on, and the calls
        // of those that have begun would come too late to use the quota.
        maxConcurrentWorkflowTaskExecutions: 4,
        activities: { ...engine },
      }),
    ];
    const quota = new SharedQuota(store, identity.number, log);
    const queues = await servedQueues(app, routing, (taskQueue) => hasBacklog(plain, temporal.namespace, taskQueue));
    for (const group of new Set(queues.map(({ group }) => group)))
      await quota.configure(group, settings.quotaOf(group));
    settings.knowledge.remember(await latestOutputs(store));
    const slots = new Map(
      queues.map(({ group, lane, taskQueue }) => [
        taskQueue,
        new LaneSlots(lanes[lane].concurrency, () => quota.hasRoom(group)),
      ]),
    );
    quota.onRoom(() => {
      for (const lane of slots.values()) lane.give();
    });
    const activities = createModelActivities({
      ...settings.knowledge,
      store,
      steps: app.steps,
      ...(app.scopes && { scopes: app.scopes }),
      model: settings.model,
      worker: identity.number,
      routing,
      lanes,
      heartbeatTimeoutMs: routing.heartbeatTimeoutMs,
      quota,
      onPassed: (taskQueue) => slots.get(taskQueue)?.pass() ?? (() => {}),
    });
    for (const [taskQueue, activityTaskSlotSupplier] of slots) {
      workers.push(
        await Worker.create({
          ...shared,
          taskQueue,
          activities: { ...activities },
          tuner: { ...UNUSED_SLOTS, activityTaskSlotSupplier },
        }),
      );
    }
    const client = new Client({
      connection: plain,
      namespace: temporal.namespace,
      dataConverter,
    });
    const sweeper = startSweeper(store, client, log);
    closing.push(() => sweeper.stop());
    const { notify } = settings;
    if (notify !== undefined && channelsOf(notify).length > 0) {
      const notifier = startNotifier(store, notify, log);
      closing.push(() => notifier.stop());
    }

    const running = workers.map((worker) => worker.run());
    const shutdown = (): void => {
      for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
    };
    // One that fails takes the others with it: a process that serves only some queues would look healthy.
    for (const run of running) run.catch(shutdown);
    const stopped = Promise.allSettled(running).then(async (results) => {
      await close();
      const failure = results.find((result) => result.status === 'rejected');
      if (failure !== undefined) throw failure.reason;
    });
    return {
      stopped,
      stop: async () => {
        shutdown();
        await stopped;
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The worker's own connection, and one for the sweeper's client. Throws `TEMPORAL_UNREACHABLE`. */
async function connect(target: TemporalTarget): Promise<{ native: NativeConnection; plain: Connection }> {
  const { address } = target;
  if (address === null) throw temporalUnreachable(null);
  try {
    const native = await NativeConnection.connect({ ...nativeOptions(target), address });
    try {
      return { native, plain: await Connection.connect({ ...target.connection, address }) };
    } catch (error) {
      await native.close();
      throw error;
    }
  } catch (error) {
    throw temporalUnreachable(address, error);
  }
}

/**
 * Chains go on with the current version, never pinned to the one that began them: a held chain would wait for workers that
 * are long gone. Only the queue of workflows is versioned; a model call may be made by any version that serves its queue.
 */
function versioning({ deployment }: WorkerSettings): Pick<WorkerOptions, 'workerDeploymentOptions'> {
  if (deployment === undefined) return {};
  const { name: deploymentName, buildId } = deployment;
  return {
    workerDeploymentOptions: {
      version: { deploymentName, buildId },
      useWorkerVersioning: true,
      defaultVersioningBehavior: 'AUTO_UPGRADE',
    },
  };
}

/** TLS, key and metadata mean the same to both kinds of connection. */
function nativeOptions({ connection }: TemporalTarget): object {
  const { tls, apiKey, metadata } = connection ?? {};
  return {
    ...(tls === undefined || tls === null ? {} : { tls }),
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(metadata === undefined ? {} : { metadata }),
  };
}

async function hasBacklog({ workflowService }: Connection, namespace: string, name: string): Promise<boolean> {
  try {
    const taskQueue = { name };
    const description = { namespace, taskQueue, taskQueueType: ACTIVITY_QUEUE, reportStats: true };
    const { stats } = await workflowService.describeTaskQueue(description);
    return Number(stats?.approximateBacklogCount ?? 0) > 0;
  } catch (error) {
    // The time-skipping test server has no such call, and nothing that an earlier worker left.
    if (isGrpcServiceError(error) && error.code === UNIMPLEMENTED) return false;
    throw error;
  }
}

/**
 * All queues that a call can be routed to, by the present configuration or by an earlier version of a step: calls that
 * wait when a deploy moves their step to another model or lane must still be served.
 */
async function servedQueues(
  app: Application,
  { quotaGroupOf, quotaGroups, hasLowShare, accounts = [] }: WorkerSettings['routing'],
  hasBacklog: (taskQueue: string) => Promise<boolean>,
): Promise<{ group: string; lane: Lane; taskQueue: string }[]> {
  const groups = new Set([DEFAULT_QUOTA_GROUP, ...quotaGroups]);
  for (const step of Object.values(app.steps)) groups.add(quotaGroupOf(step.model));
  for (const group of [...groups]) {
    // Those that the configuration gives limits of their own are there by name.
    if (!group.includes('@')) for (const account of accounts) groups.add(accountGroup(group, account));
  }
  const queues: { group: string; lane: Lane; taskQueue: string }[] = [];
  for (const group of groups) {
    for (const lane of LANES) {
      queues.push({ group, lane, taskQueue: modelTaskQueue(group, lane) });
      const low = lowTaskQueue(group, lane);
      // Also what was left there when the reserved share was taken away.
      if (hasLowShare(group) || (await hasBacklog(low))) queues.push({ group, lane, taskQueue: low });
    }
  }
  return queues;
}

/** Refuses steps that could only be found out by their first call. Throws `BAD_CONFIGURATION`. */
function checkSteps({ steps }: Application, { maxOutputTokensOf, routing }: WorkerSettings): void {
  const { accounts = [] } = routing;
  for (const [name, step] of Object.entries(steps)) {
    if (step.account !== undefined && !accounts.includes(step.account)) {
      throw new HoldfastError(
        'BAD_CONFIGURATION',
        `Step ${name} names the account ${JSON.stringify(step.account)}, which is not configured.`,
        `Name it under model.accounts of holdfast.config.ts; known: ${accounts.join(', ') || 'none'}.`,
      );
    }
    try {
      if (step.output !== undefined) schemaForModel(step.output, step.structure);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      throw new HoldfastError(error.code, `Step ${name}: ${error.message}`, error.remedy, { cause: error });
    }
    const most = maxOutputTokensOf(step.model);
    if (most !== null && (step.maxTokens ?? 0) > most) {
      throw new HoldfastError(
        'BAD_CONFIGURATION',
        `Step ${name} asks for ${step.maxTokens} tokens; an answer of ${step.model} has at most ${most}.`,
        'Lower its maxTokens, or name the limits of the model in contextWindows.',
      );
    }
  }
}
