import { type HoldfastConfig, stackEnvironment } from '../config/index.js';
import { HoldfastError } from '../contracts/errors.js';
import { type Stack, type StackOptions, startStack } from '../embedded/stack.js';
import { openStore } from '../store/database.js';
import { migrate } from '../store/migrate.js';

/**
 * Starts the embedded stack as the configuration wants it: each part that is external in it is used, not started. The
 * schema is brought up to date before a worker starts. Throws what {@link startStack} throws.
 */
export function startDevStack(
  config: HoldfastConfig,
  options: Pick<StackOptions, 'log' | 'signal' | 'readyFile' | 'onChange'>,
): Promise<Stack> {
  const { temporal, database, model } = config;
  if (config.deployment !== undefined && temporal.kind === 'embedded') {
    throw new HoldfastError(
      'BAD_CONFIGURATION',
      'Workers with a version take no chains before somebody makes it the current one, and nobody does on an embedded Temporal.',
      'Leave TEMPORAL_DEPLOYMENT_NAME, TEMPORAL_WORKER_BUILD_ID and the field deployment out here.',
    );
  }
  return startStack({
    ...options,
    directory: config.directory,
    env: stackEnvironment(config),
    temporalNamespace: temporal.namespace,
    ...(temporal.kind === 'external' ? { temporalAddress: temporal.address } : {}),
    ...(database.kind === 'external' ? { databaseUrl: database.url } : {}),
    ...(model.kind === 'anthropic' ? { model: { url: model.baseUrl ?? null } } : {}),
    // 0 is any that is free, as it is for a port that is not named.
    ports: { ...config.ports, http: config.ports.http || undefined },
    workers: config.workers,
    workerEnv: {
      // The workers see the simulator as any provider; what it allows is known only here.
      HOLDFAST_REQUESTS_PER_MINUTE: String(config.quota.requestsPerMinute),
      HOLDFAST_INPUT_TOKENS_PER_MINUTE: String(config.quota.inputTokensPerMinute),
      HOLDFAST_OUTPUT_TOKENS_PER_MINUTE: String(config.quota.outputTokensPerMinute),
    },
    onDatabase: async (url) => {
      const store = openStore(url, { maxConnections: 2 });
      try {
        await migrate(store);
      } finally {
        await store.close();
      }
    },
  });
}
