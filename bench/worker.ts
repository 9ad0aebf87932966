/** One worker process of either side, as a child of the benchmark: started, asked for its usage and ended by messages. */
import { fileURLToPath } from 'node:url';
import { NativeConnection, Worker } from '@temporalio/worker';
import { loadConfig } from '../src/config/index.js';
import { startWorker } from '../src/workers/worker.js';
import { workerSettings } from '../src/workers/worker-settings.js';
import { createBareActivities } from './bare/activities.js';
import { benchApplication } from './chains/app.js';
import { type Stop, serveParent } from './serve-parent.js';

export type Side = 'bare' | 'holdfast';

export interface WorkerSettings {
  readonly side: Side;
  readonly temporalAddress: string;
  readonly databaseUrl: string;
  readonly modelUrl: string;
  /** Model calls that run at once. */
  readonly concurrency: number;
}

export const BARE_TASK_QUEUE = 'bare';

/** Nobody waits for a quota here: the bare side has none. */
const NO_LIMIT = String(10 ** 12);

async function startHoldfast({ temporalAddress, databaseUrl, modelUrl, concurrency }: WorkerSettings): Promise<Stop> {
  const config = await loadConfig({
    env: {
      ANTHROPIC_BASE_URL: modelUrl,
      HOLDFAST_REQUESTS_PER_MINUTE: NO_LIMIT,
      HOLDFAST_INPUT_TOKENS_PER_MINUTE: NO_LIMIT,
      HOLDFAST_OUTPUT_TOKENS_PER_MINUTE: NO_LIMIT,
      HOLDFAST_FAST_CONCURRENCY: String(concurrency),
    },
  });
  const temporal = { address: temporalAddress, namespace: 'default' };
  const worker = await startWorker(
    workerSettings(config, { temporal, databaseUrl }, benchApplication, (line) => console.error(line)),
  );
  return () => worker.stop();
}

/** The options of Holdfast's own workers, wherever they are not the SDK's defaults. */
async function startBare({ temporalAddress, modelUrl, concurrency }: WorkerSettings): Promise<Stop> {
  const connection = await NativeConnection.connect({ address: temporalAddress });
  const worker = await Worker.create({
    connection,
    taskQueue: BARE_TASK_QUEUE,
    workflowsPath: fileURLToPath(new URL('./bare/workflows.ts', import.meta.url)),
    activities: createBareActivities(modelUrl),
    maxConcurrentActivityTaskExecutions: concurrency,
    stickyQueueScheduleToStartTimeout: '3 seconds',
  });
  const running = worker.run();
  return async () => {
    worker.shutdown();
    await running;
    await connection.close();
  };
}

serveParent<WorkerSettings>((settings) => (settings.side === 'bare' ? startBare : startHoldfast)(settings));
