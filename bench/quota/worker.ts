/** One of the four worker processes of a side, as a child of the benchmark. */
import { fileURLToPath } from 'node:url';
import Anthropic from '@anthropic-ai/sdk';
import { ApplicationFailure } from '@temporalio/activity';
import { NativeConnection, Worker } from '@temporalio/worker';
import { loadConfig } from '../../src/config/index.js';
import { parseRetryAfterMs } from '../../src/models/retry-after.js';
import { startWorker } from '../../src/workers/worker.js';
import { workerSettings } from '../../src/workers/worker-settings.js';
import { type BareActivities, createBareActivities } from '../bare/activities.js';
import { type Stop, serveParent } from '../serve-parent.js';
import { quotaApplication } from './chains/app.js';
import type { Limits } from './scenarios.js';
import { BARE_QUEUE } from './side.js';

export interface QuotaWorkerSettings {
  readonly side: 'bare' | 'holdfast';
  readonly temporalAddress: string;
  /** Empty on the bare side, which has no database. */
  readonly databaseUrl: string;
  readonly modelUrl: string;
  readonly limits: Limits;
}

/** Model calls that a worker process runs at once, at most. */
const CONCURRENCY = 100;

async function startHoldfast({ temporalAddress, databaseUrl, modelUrl, limits }: QuotaWorkerSettings): Promise<Stop> {
  const config = await loadConfig({
    env: {
      ANTHROPIC_BASE_URL: modelUrl,
      HOLDFAST_REQUESTS_PER_MINUTE: String(limits.requests),
      HOLDFAST_INPUT_TOKENS_PER_MINUTE: String(limits.inputTokens),
      HOLDFAST_OUTPUT_TOKENS_PER_MINUTE: String(limits.outputTokens),
      HOLDFAST_FAST_CONCURRENCY: String(CONCURRENCY),
    },
  });
  const temporal = { address: temporalAddress, namespace: 'default' };
  const worker = await startWorker(
    workerSettings(config, { temporal, databaseUrl }, quotaApplication, (line) => console.error(line)),
  );
  return () => worker.stop();
}

/** A 429 is tried again when the provider says so. */
function withRetryAfter({ callClaude }: BareActivities): BareActivities {
  return {
    async callClaude(messages) {
      try {
        return await callClaude(messages);
      } catch (error) {
        if (!(error instanceof Anthropic.RateLimitError)) throw error;
        const nextRetryDelay = parseRetryAfterMs(error.headers);
        throw ApplicationFailure.create({ message: error.message, ...(nextRetryDelay && { nextRetryDelay }) });
      }
    },
  };
}

async function startBare({ temporalAddress, modelUrl }: QuotaWorkerSettings): Promise<Stop> {
  const connection = await NativeConnection.connect({ address: temporalAddress });
  const worker = await Worker.create({
    connection,
    taskQueue: BARE_QUEUE,
    workflowsPath: fileURLToPath(new URL('./bare-workflows.ts', import.meta.url)),
    activities: { ...withRetryAfter(createBareActivities(modelUrl)) },
    maxConcurrentActivityTaskExecutions: CONCURRENCY,
    stickyQueueScheduleToStartTimeout: '3 seconds',
  });
  const running = worker.run();
  return async () => {
    worker.shutdown();
    await running;
    await connection.close();
  };
}

serveParent<QuotaWorkerSettings>((settings) => (settings.side === 'bare' ? startBare : startHoldfast)(settings));
