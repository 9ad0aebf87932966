import { resolve } from 'node:path';
import type { Application } from '../contracts/chain-definition.js';
import { DEFAULT_LANE_POLICIES, LANES, type Lane, type LanePolicy } from '../contracts/lanes.js';
import type { NotifyConfig } from '../contracts/notices.js';
import { DEFAULT_QUOTA, type QuotaLimits } from '../contracts/quotas.js';
import { DEFAULT_IDLE_TIMEOUT_MS } from '../models/anthropic-model.js';
import { CONTEXT_WINDOWS } from '../models/context-windows.js';
import { badConfiguration } from './bad-configuration.js';
import { fileSettings } from './config-file.js';
import { type Environment, environmentSettings, flagSettings, keyFrom } from './environment.js';
import type { Settings } from './settings-schema.js';
import { temporalConfig } from './temporal-profile.js';
import { tracingConfig } from './tracing.js';
import type { ConfigFlags, HoldfastConfig, HttpConfig, ModelConfig } from './types.js';

export interface LoadConfigOptions {
  /** Default: none. */
  readonly flags?: ConfigFlags;
  /** Default: the environment of the process. */
  readonly env?: Environment;
  /** Where the configuration file is looked for and relative paths start. Default: the working directory. */
  readonly cwd?: string;
}

/** What the simulated Claude allows. */
const SIMULATED_QUOTA: QuotaLimits = {
  ...DEFAULT_QUOTA,
  requestsPerMinute: 1_000,
  inputTokensPerMinute: 450_000,
  outputTokensPerMinute: 90_000,
};

/** What nobody has decided for so long is overdue: what is held at night is seen in the morning, without anybody being woken. */
const A_DAY_MS = 86_400_000;

/** Servers on loopback need no key, but the API wants one sent. */
const PLACEHOLDER_API_KEY = 'holdfast-local';

/**
 * The configuration in force: flags over the environment over `holdfast.config.{ts,mts,js,mjs}` over defaults. Throws
 * `BAD_CONFIGURATION`, which names the flag, the variable or the file and field that is wrong.
 */
export async function loadConfig(options: LoadConfigOptions = {}): Promise<HoldfastConfig> {
  const { flags = {}, env = process.env, cwd = process.cwd() } = options;
  const fromFlags = flagSettings(flags);
  const fromEnv = environmentSettings(env);
  const fromFile = await fileSettings(resolve(cwd));
  const said = [fromFlags, fromEnv, fromFile];
  const first = <Key extends keyof Settings>(key: Key) => firstOf(said.map((settings) => settings[key]));

  const databaseUrl = firstOf(said.map(({ database }) => database?.url));
  const model = modelConfig(said);
  return {
    directory: resolve(cwd, first('directory') ?? '.holdfast'),
    temporal: temporalConfig(fromFlags, env, fromFile),
    database: databaseUrl === undefined ? { kind: 'embedded' } : { kind: 'external', url: databaseUrl },
    model,
    accounts: accountsOf(fromFile, env),
    ports: over(said.map(({ ports }) => ports)),
    http: httpConfig(over(said.map(({ http }) => http))),
    quota: {
      ...(model.kind === 'simulated' ? SIMULATED_QUOTA : DEFAULT_QUOTA),
      ...over(said.map(({ quota }) => quota)),
    },
    quotas: fromFile.quotas ?? {},
    quotaGroups: { ...groupsOfKnownModels(), ...fromFile.quotaGroups },
    lanes: lanePolicies(said),
    prices: fromFile.prices ?? {},
    contextWindows: fromFile.contextWindows ?? {},
    idleTimeoutMs: first('idleTimeoutMs') ?? DEFAULT_IDLE_TIMEOUT_MS,
    callTimeoutMs: first('callTimeoutMs') ?? 600_000,
    heartbeatTimeoutMs: first('heartbeatTimeoutMs') ?? 3_000,
    maxInputBytes: first('maxInputBytes') ?? 10 * 1024 * 1024,
    workers: first('workers') ?? 1,
    metricsAddress: first('metricsAddress'),
    ...deploymentOf(said),
    notify: notifyConfig(said),
    log: over(said.map(({ log }) => log)),
    tracing: tracingConfig(env),
    ...(fromFile.app === undefined ? {} : { app: fromFile.app as unknown as Application }),
  };
}

/** The group of models that share a provider's limits. Throws `BAD_CONFIGURATION` for a model that is in none. */
export function quotaGroupOf({ quotaGroups }: Pick<HoldfastConfig, 'quotaGroups'>, model: string): string {
  const group = Object.hasOwn(quotaGroups, model) ? quotaGroups[model] : undefined;
  if (group !== undefined) return group;
  throw badConfiguration(
    `The model ${model} is in no quota group, so that nobody knows its limits.`,
    `Name its group in the configuration file, e.g. quotaGroups: { ${JSON.stringify(model)}: 'default' }, and the group's limits in quotas.`,
  );
}

/** The limits of a group: what `quotas` says of it, over what holds for all of them. */
export function quotaOf({ quota, quotas }: Pick<HoldfastConfig, 'quota' | 'quotas'>, group: string): QuotaLimits {
  const said = (name: string) => (Object.hasOwn(quotas, name) ? quotas[name] : undefined);
  // That of another account is taken to be like that of the main one, unless something is said of it.
  const [main] = group.split('@') as [string];
  return over([said(group), said(main), quota]) as QuotaLimits;
}

/** The accounts with their keys. A worker needs them all, others only their names: whether one is set is its own to ask. */
function accountsOf({ model }: Settings, env: Environment): HoldfastConfig['accounts'] {
  const accounts = Object.entries(model?.accounts ?? {}).map(([name, account]) => {
    const { apiKeyEnv, baseUrl } = account;
    if (apiKeyEnv !== undefined) return [name, { ...account, apiKey: keyFrom(env, apiKeyEnv) }];
    if (baseUrl !== undefined && isLoopback(baseUrl)) return [name, { ...account, apiKey: PLACEHOLDER_API_KEY }];
    throw badConfiguration(
      `model.accounts.${name} names no variable with its key.`,
      `Add apiKeyEnv, e.g. 'ANTHROPIC_API_KEY_${name.toUpperCase()}'; only servers on this machine go without a key.`,
    );
  });
  return Object.fromEntries(accounts) as HoldfastConfig['accounts'];
}

function modelConfig(said: readonly Settings[]): ModelConfig {
  const baseUrl = firstOf(said.map(({ model }) => model?.baseUrl));
  const apiKey = firstOf(said.map(({ model }) => model?.apiKey));
  if (baseUrl === undefined) return apiKey === undefined ? { kind: 'simulated' } : { kind: 'anthropic', apiKey };
  if (apiKey !== undefined) return { kind: 'anthropic', baseUrl, apiKey };
  if (isLoopback(baseUrl)) return { kind: 'anthropic', baseUrl, apiKey: PLACEHOLDER_API_KEY };
  throw badConfiguration(
    `The model is at ${new URL(baseUrl).host} (ANTHROPIC_BASE_URL, --model-url or model.baseUrl), but there is no API key for it.`,
    'Set ANTHROPIC_API_KEY; only servers on this machine go without one.',
  );
}

function httpConfig({ host = '127.0.0.1', token, uiOrigins }: NonNullable<Settings['http']>): HttpConfig {
  return { host, ...(token === undefined ? {} : { token }), uiOrigins: uiOrigins?.split(',').map(trimmed) ?? [] };
}

const trimmed = (text: string): string => text.trim();

/** Half a version would be none, in silence. */
function deploymentOf(said: readonly Settings[]): Pick<HoldfastConfig, 'deployment'> {
  const { name, buildId } = over(said.map(({ deployment }) => deployment));
  if (name === undefined && buildId === undefined) return {};
  if (name !== undefined && buildId !== undefined) return { deployment: { name, buildId } };
  throw badConfiguration(
    `The deployment has ${name === undefined ? 'a build id and no name' : 'a name and no build id'}.`,
    'Set both TEMPORAL_DEPLOYMENT_NAME and TEMPORAL_WORKER_BUILD_ID, or neither.',
  );
}

function notifyConfig(said: readonly Settings[]): NotifyConfig {
  const { url, secret } = over(said.map(({ notify }) => notify?.webhook));
  const { smtpUrl, from, to, escalateTo } = over(said.map(({ notify }) => notify?.mail));
  const deadlineMs = firstOf(said.map(({ notify }) => notify?.deadlineMs)) ?? A_DAY_MS;
  if (secret !== undefined && url === undefined) {
    throw badConfiguration(
      'There is a secret for a webhook, and no webhook (notify.webhook).',
      'Set HOLDFAST_NOTIFY_WEBHOOK_URL too, or remove HOLDFAST_NOTIFY_WEBHOOK_SECRET.',
    );
  }
  const webhook = url === undefined ? {} : { webhook: { url, ...(secret === undefined ? {} : { secret }) } };
  if (smtpUrl === undefined && from === undefined && to === undefined && escalateTo === undefined) {
    return { ...webhook, deadlineMs };
  }
  if (smtpUrl === undefined || from === undefined || to === undefined) {
    throw badConfiguration(
      'Mail needs a server, a sender and a receiver (notify.mail), and not all of them are set.',
      'Set HOLDFAST_NOTIFY_SMTP_URL, HOLDFAST_NOTIFY_FROM and HOLDFAST_NOTIFY_TO, or none of them.',
    );
  }
  return { ...webhook, mail: { smtpUrl, from, to, ...(escalateTo === undefined ? {} : { escalateTo }) }, deadlineMs };
}

function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname);
}

function groupsOfKnownModels(): Record<string, string> {
  return Object.fromEntries(Object.keys(CONTEXT_WINDOWS).map((model) => [model, model]));
}

function lanePolicies(said: readonly Settings[]): Record<Lane, LanePolicy> {
  const policies = LANES.map((lane) => [
    lane,
    { ...DEFAULT_LANE_POLICIES[lane], ...over(said.map(({ lanes }) => lanes?.[lane])) },
  ]);
  return Object.fromEntries(policies) as Record<Lane, LanePolicy>;
}

function firstOf<Value>(values: readonly (Value | undefined)[]): Value | undefined {
  return values.find((value) => value !== undefined);
}

/** Field by field the first that is set. */
function over<Group extends object>(groups: readonly (Group | undefined)[]): Group {
  const set = groups.map((group) => Object.entries(group ?? {}).filter(([, value]) => value !== undefined));
  return Object.fromEntries(set.reverse().flat()) as Group;
}
