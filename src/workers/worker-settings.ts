import { DEFAULT_MAX_TOKENS } from '../activities/route-step.js';
import type { HoldfastConfig } from '../config/index.js';
import { quotaGroupOf, quotaOf } from '../config/index.js';
import type { Application } from '../contracts/chain-definition.js';
import { HoldfastError } from '../contracts/errors.js';
import type { ModelPort, ModelRequest } from '../contracts/models.js';
import { accountGroup } from '../contracts/queues.js';
import { withAccounts } from '../models/accounts.js';
import { createAnthropicModel } from '../models/anthropic-model.js';
import { contextWindowOf } from '../models/context-windows.js';
import { TokenEstimator } from '../models/estimate-tokens.js';
import { costMicroUsd } from '../models/prices.js';
import { retryDelayMs } from '../models/retry-delay.js';
import { countedInput, UsageForecast } from '../models/usage-forecast.js';
import type { WorkerSettings } from './worker.js';

/** How long a call waits for quota inside its activity, in milliseconds, before it goes back to the queue. */
const QUOTA_WAIT_MS = 60_000;
const SHUTDOWN_GRACE_MS = 10_000;

/** How close to the context a request's estimate must be for the provider to be asked, as a share. */
const NEAR_CONTEXT = 0.8;

/**
 * Makes of the configuration what a worker process needs: `startWorker(workerSettings(config, targetsOf(config), app, log))`.
 * Throws `BAD_CONFIGURATION` when the configuration names no model and none is given.
 *
 * @param log told what the worker has to say to people, a line each.
 * @param model takes the place of the configured one: a provider of your own, or a scripted one.
 */
export function workerSettings(
  config: HoldfastConfig,
  targets: Pick<WorkerSettings, 'temporal' | 'databaseUrl'>,
  app: Application,
  log: (message: string) => void,
  model: ModelPort = modelOf(config),
): WorkerSettings {
  const estimator = new TokenEstimator();
  const forecast = new UsageForecast(estimator);
  const quotaOfModel = ({ model: name, account }: { readonly model: string; readonly account?: string | undefined }) =>
    quotaOf(config, accountGroup(quotaGroupOf(config, name), account));
  return {
    ...targets,
    app,
    model,
    knowledge: {
      estimate: (request, step) => estimator.estimate(request, step),
      forecast: (request, step) => forecast.of(request, step, quotaOfModel(request).countCacheReads),
      learn: (request, step, usage, inputLength) => {
        const { countCacheReads } = quotaOfModel(request);
        forecast.learn(request, step, usage, { inputLength, countCacheReads });
        estimator.learn(request, step, usage);
      },
      remember: (calls) => forecast.remember(calls),
      countedUse: (request, usage) => ({
        input: countedInput(usage, quotaOfModel(request).countCacheReads),
        output: usage.outputTokens,
      }),
      checkContext: (request, estimate, signal) => checkContext(config, model, request, estimate, signal),
      costMicroUsd: (name, usage) => costMicroUsd(name, usage, config.prices),
      retryDelayMs: (policy, failures, retryAfterMs) => retryDelayMs(policy, failures, retryAfterMs),
    },
    routing: {
      quotaGroupOf: (name) => quotaGroupOf(config, name),
      accounts: Object.keys(config.accounts),
      hasLowShare: (group) => quotaOf(config, group).lowShare > 0,
      costOf: ({ step, inputLength = 0 }, asked) => {
        const { model: name, maxTokens = DEFAULT_MAX_TOKENS } = asked;
        const { requestsPerMinute, inputTokensPerMinute, outputTokensPerMinute } = quotaOfModel(asked);
        const { input, output } = forecast.ofInput(name, step, inputLength, maxTokens);
        return Math.max(1 / requestsPerMinute, input / inputTokensPerMinute, output / outputTokensPerMinute);
      },
      quotaGroups: [...Object.values(config.quotaGroups), ...Object.keys(config.quotas)],
      heartbeatTimeoutMs: config.heartbeatTimeoutMs,
      callTimeoutMs: config.callTimeoutMs,
      quotaWaitMs: QUOTA_WAIT_MS,
    },
    lanes: config.lanes,
    maxOutputTokensOf: (name) => contextWindowOf(name, config.contextWindows)?.maxOutputTokens ?? null,
    quotaOf: (group) => quotaOf(config, group),
    shutdownGraceMs: SHUTDOWN_GRACE_MS,
    ...(config.deployment && { deployment: config.deployment }),
    notify: config.notify,
    log,
  };
}

function modelOf({ model, accounts, idleTimeoutMs }: HoldfastConfig): ModelPort {
  if (model.kind === 'simulated') {
    throw new HoldfastError(
      'BAD_CONFIGURATION',
      'This worker has no model: neither ANTHROPIC_API_KEY nor ANTHROPIC_BASE_URL is set.',
      'Set one of them; `npx holdfast dev` starts workers on its simulated Claude by itself.',
    );
  }
  const others = Object.entries(accounts).map(([name, { apiKeyEnv, apiKey, baseUrl = model.baseUrl }]) => {
    if (apiKey === undefined) {
      throw new HoldfastError(
        'BAD_CONFIGURATION',
        `The account ${name} has no key: ${apiKeyEnv} is not set.`,
        `Set ${apiKeyEnv} for the workers, or take model.accounts.${name} out of holdfast.config.ts.`,
      );
    }
    return [name, createAnthropicModel({ apiKey, idleTimeoutMs, ...(baseUrl && { baseUrl }) })] as const;
  });
  return withAccounts(createAnthropicModel({ ...model, idleTimeoutMs }), new Map(others));
}

/** Refuses what cannot fit. Only near the limit is the provider asked for its own count, which costs a request. */
async function checkContext(
  config: HoldfastConfig,
  model: ModelPort,
  request: ModelRequest,
  estimate: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const window = contextWindowOf(request.model, config.contextWindows);
  if (window === null || estimate + request.maxTokens < window.contextTokens * NEAR_CONTEXT) return undefined;
  const counted = await model.countTokens(request, { signal, timeoutMs: config.callTimeoutMs }).catch(() => null);
  if (counted === null || counted + request.maxTokens <= window.contextTokens) return undefined;
  return (
    `The request has ${counted} tokens and asks for up to ${request.maxTokens} more; ` +
    `the context of ${request.model} holds ${window.contextTokens}.`
  );
}
