import type { Client } from '@temporalio/client';
import { sql } from 'kysely';
import { laneOf } from '../../activities/route-step.js';
import type { TemporalLink } from '../../client/temporal-link.js';
import { type HoldfastConfig, quotaGroupOf } from '../../config/index.js';
import { applicationOf } from '../../connect.js';
import { channelsOf } from '../../contracts/notices.js';
import { accountGroup, ENGINE_TASK_QUEUE, modelTaskQueue } from '../../contracts/queues.js';
import { SEARCH_ATTRIBUTES } from '../../contracts/search-attributes.js';
import type { StackInfo } from '../../embedded/stack-files.js';
import { probeModel } from '../../models/probe-model.js';
import type { Store } from '../../store/database.js';
import { listLiveWorkers } from '../../store/liveness.js';
import { readSchema } from '../../store/migrate.js';
import { listUndelivered } from '../../store/notices.js';
import { CHECK_MS, type Check, check, ok, problem, warning } from './check.js';

/** Connections that a worker opens at most, see `startWorker`. */
const WORKER_CONNECTIONS = 21;

export async function checkDatabase(store: Store): Promise<Check[]> {
  const server = await check('PostgreSQL', async () => {
    const { rows } = await sql<{ version: string; used: number; most: number }>`
      SELECT current_setting('server_version') AS version, current_setting('max_connections')::int AS most,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used`
      .execute(store.db)
      .catch((error: unknown) => {
        throw store.explain(error);
      });
    const { version, used, most } = rows[0]!;
    const message = `${version}, ${used} of ${most} connections in use.`;
    if (most - used >= WORKER_CONNECTIONS) return ok(message);
    return warning(message, `A worker takes up to ${WORKER_CONNECTIONS}: raise max_connections.`);
  });
  if (server.state === 'problem') return [server];
  const schema = await check('Schema', async () => {
    const { missing, unknown } = await readSchema(store);
    if (unknown.length > 0) {
      return problem(`A newer Holdfast has set it up (${unknown.join(', ')}).`, 'Upgrade this installation.');
    }
    if (missing.length === 0) return ok('As this version needs it.');
    return warning(`Not migrated yet: ${missing.join(', ')}.`, 'Start a worker: that brings it up to date.');
  });
  return [server, schema];
}

export async function checkTemporal(temporal: TemporalLink): Promise<Check[]> {
  const server = await check('Temporal', () =>
    temporal.use(async (client) => {
      const { namespace } = client.options;
      const [{ serverVersion }, { config }] = await Promise.all([
        client.workflowService.getSystemInfo({}),
        client.workflowService.describeNamespace({ namespace }),
      ]);
      const hours = Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) / 3_600;
      return ok(`Server ${serverVersion}, namespace ${namespace}, which keeps histories for ${hours} h.`);
    }),
  );
  if (server.state === 'problem') return [server];
  const attributes = await check('Search attributes', async () => {
    const missing: string[] = [];
    for (const { name } of Object.values(SEARCH_ATTRIBUTES)) {
      const query = `${name} = 'any'`;
      const isKnown = await temporal.use((client) =>
        client.workflowService
          .countWorkflowExecutions({ namespace: client.options.namespace, query })
          .then(() => true)
          .catch((error: { code?: unknown }) => {
            if (error.code === INVALID_ARGUMENT) return false;
            throw error;
          }),
      );
      if (!isKnown) missing.push(name);
    }
    if (missing.length === 0) return ok('Registered.');
    return warning(
      `Not registered: ${missing.join(', ')}.`,
      'A worker registers them at its start, if it may; on Temporal Cloud register them by hand.',
    );
  });
  return [server, attributes];
}

const INVALID_ARGUMENT = 3;

export function checkModel({ model }: HoldfastConfig, stack: StackInfo | null): Promise<Check> {
  return check('Model', async () => {
    if (model.kind === 'simulated') {
      if (stack?.modelUrl == null) return ok('The simulated Claude, which `npx holdfast dev` starts. Not checked.');
      const probe = await probeModel({ apiKey: 'simulated', baseUrl: stack.modelUrl }, CHECK_MS / 2);
      if (probe.kind === 'accepted') return ok(`The simulated Claude at ${stack.modelUrl}.`);
      return problem(`The simulated Claude at ${stack.modelUrl} does not answer (${probe.why}).`, 'Restart the stack.');
    }
    const place = model.baseUrl ?? "Anthropic's API";
    const probe = await probeModel(model, CHECK_MS / 2);
    switch (probe.kind) {
      case 'accepted':
        return ok(`${place} accepts the key.`);
      case 'refused':
        return problem(`${place} refuses the key (${probe.why}).`, 'Correct ANTHROPIC_API_KEY.');
      case 'unreachable':
        return problem(`${place} cannot be reached: ${probe.why}.`, 'Look at the network and ANTHROPIC_BASE_URL.');
      case 'unknown':
        return warning(`${place} answers, but has no list of models (${probe.why}): the key was not checked.`);
    }
  });
}

async function notices(store: Store, { notify }: HoldfastConfig) {
  const channels = channelsOf(notify);
  if (channels.length === 0) return ok('Nobody is told of what is held: neither a webhook nor mail is configured.');
  const late = await listUndelivered(store);
  if (late.length === 0) return ok(`By ${channels.join(' and ')}; all have arrived.`);
  const what = late.map((way) => `${way.count} by ${way.channel} since ${way.since.toISOString()}: ${way.last_error}`);
  return warning(`Not arrived: ${what.join('; ')}.`, 'Look at the receiver and the settings of notify.');
}

/** Needs a database with a schema. */
export function checkWorkers(store: Store, temporal: TemporalLink, config: HoldfastConfig): Promise<Check>[] {
  const start = 'Start one with `holdfast worker`; `npx holdfast dev` has its own.';
  return [
    check('Workers', async () => {
      const alive = await listLiveWorkers(store);
      if (alive.length === 0) return warning('None is alive: chains wait.', start);
      return ok(`${alive.length} alive: ${alive.join(', ')}.`);
    }),
    check('Task queues', async () => {
      const queues = await Promise.all(
        queuesOf(config).map(async (queue) => ({ queue, ...(await temporal.use((client) => lookAt(client, queue))) })),
      );
      const waiting = queues.filter(({ pollers }) => pollers === 0).map(({ queue }) => queue);
      const backlog = queues.reduce((sum, each) => sum + each.backlog, 0);
      if (waiting.length === 0) return ok(`${queues.length}, all polled; ${backlog} activities wait.`);
      return warning(`Nobody polls ${waiting.join(', ')}; ${backlog} activities wait.`, start);
    }),
    check('Chains', () => chains(store, temporal)),
    check('Notices', () => notices(store, config)),
  ];
}

/** Those that the steps in use go to, by this configuration. */
function queuesOf(config: HoldfastConfig): string[] {
  const steps = Object.values(applicationOf(config).steps);
  return [
    ...new Set([
      ENGINE_TASK_QUEUE,
      ...steps.map((step) =>
        modelTaskQueue(accountGroup(quotaGroupOf(config, step.model), step.account), laneOf(step)),
      ),
    ]),
  ];
}

const ACTIVITY_QUEUE = 2;

async function lookAt(client: Client, name: string) {
  const { pollers, stats } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name },
    taskQueueType: ACTIVITY_QUEUE,
    reportStats: true,
  });
  return { pollers: pollers?.length ?? 0, backlog: Number(stats?.approximateBacklogCount ?? 0) };
}

/** How long a chain may be queued before somebody should look, in seconds: the sweeper takes it after two. */
const QUEUED_TOO_LONG_S = 60;

async function chains(store: Store, temporal: TemporalLink) {
  const { rows } = await sql<{ queued: number; late: number; running: number; held: number }>`
    SELECT count(*) FILTER (WHERE state = 'queued') AS queued,
      count(*) FILTER (WHERE state = 'queued' AND greatest(created_at, start_at) < now() - make_interval(secs => ${QUEUED_TOO_LONG_S})) AS late,
      count(*) FILTER (WHERE state = 'running') AS running, count(*) FILTER (WHERE state = 'held') AS held
    FROM chain WHERE closed_at IS NULL`.execute(store.db);
  const { queued, late, running, held } = rows[0]!;
  const query = 'ExecutionStatus = "Running" AND TemporalReportedProblems IS NOT NULL';
  const stuck = await temporal.use(async (client) => (await client.workflow.count(query)).count);
  const message = `${queued} queued, ${running} running, ${held} held, ${stuck} stuck.`;
  if (stuck > 0) {
    return problem(message, "The code of stuck chains keeps failing: see TemporalReportedProblems in Temporal's UI.");
  }
  if (late === 0) return ok(message);
  const remedy = 'No sweeper has started them: see that a worker lives, and `holdfast status` of one of them.';
  return problem(`${message} ${late} have been queued for over a minute.`, remedy);
}
