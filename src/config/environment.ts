import { badSetting } from './bad-configuration.js';
import { type Settings, settingsSchema } from './settings-schema.js';
import type { ConfigFlags, HoldfastConfig } from './types.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables by the field of the settings that each one sets. Temporal's own are read with its TOML profiles. */
const VARIABLES: Readonly<Record<string, string>> = {
  directory: 'HOLDFAST_DIR',
  'database.url': 'DATABASE_URL',
  'model.baseUrl': 'ANTHROPIC_BASE_URL',
  'model.apiKey': 'ANTHROPIC_API_KEY',
  'ports.temporal': 'HOLDFAST_TEMPORAL_PORT',
  'ports.ui': 'HOLDFAST_TEMPORAL_UI_PORT',
  'ports.postgres': 'HOLDFAST_POSTGRES_PORT',
  'ports.model': 'HOLDFAST_MODEL_PORT',
  'ports.http': 'HOLDFAST_HTTP_PORT',
  'http.host': 'HOLDFAST_HTTP_HOST',
  'http.token': 'HOLDFAST_HTTP_TOKEN',
  'http.uiOrigins': 'HOLDFAST_UI_ORIGINS',
  'quota.requestsPerMinute': 'HOLDFAST_REQUESTS_PER_MINUTE',
  'quota.inputTokensPerMinute': 'HOLDFAST_INPUT_TOKENS_PER_MINUTE',
  'quota.outputTokensPerMinute': 'HOLDFAST_OUTPUT_TOKENS_PER_MINUTE',
  'lanes.fast.retries': 'HOLDFAST_FAST_RETRIES',
  'lanes.fast.initialDelayMs': 'HOLDFAST_FAST_INITIAL_DELAY_MS',
  'lanes.fast.concurrency': 'HOLDFAST_FAST_CONCURRENCY',
  'lanes.heavy.retries': 'HOLDFAST_HEAVY_RETRIES',
  'lanes.heavy.initialDelayMs': 'HOLDFAST_HEAVY_INITIAL_DELAY_MS',
  'lanes.heavy.concurrency': 'HOLDFAST_HEAVY_CONCURRENCY',
  idleTimeoutMs: 'HOLDFAST_IDLE_TIMEOUT_MS',
  callTimeoutMs: 'HOLDFAST_CALL_TIMEOUT_MS',
  heartbeatTimeoutMs: 'HOLDFAST_HEARTBEAT_TIMEOUT_MS',
  maxInputBytes: 'HOLDFAST_MAX_INPUT_BYTES',
  workers: 'HOLDFAST_WORKERS',
  metricsAddress: 'HOLDFAST_METRICS_ADDRESS',
  'deployment.name': 'TEMPORAL_DEPLOYMENT_NAME',
  'deployment.buildId': 'TEMPORAL_WORKER_BUILD_ID',
  'notify.webhook.url': 'HOLDFAST_NOTIFY_WEBHOOK_URL',
  'notify.webhook.secret': 'HOLDFAST_NOTIFY_WEBHOOK_SECRET',
  'notify.mail.smtpUrl': 'HOLDFAST_NOTIFY_SMTP_URL',
  'notify.mail.from': 'HOLDFAST_NOTIFY_FROM',
  'notify.mail.to': 'HOLDFAST_NOTIFY_TO',
  'notify.mail.escalateTo': 'HOLDFAST_NOTIFY_ESCALATE_TO',
  'notify.deadlineMs': 'HOLDFAST_NOTIFY_DEADLINE_MS',
  'log.format': 'HOLDFAST_LOG_FORMAT',
  'log.level': 'HOLDFAST_LOG_LEVEL',
};

const FLAGS: Readonly<Record<keyof ConfigFlags, { readonly field: string; readonly flag: string }>> = {
  directory: { field: 'directory', flag: '--dir' },
  temporalAddress: { field: 'temporal.address', flag: '--temporal-address' },
  temporalNamespace: { field: 'temporal.namespace', flag: '--temporal-namespace' },
  databaseUrl: { field: 'database.url', flag: '--database-url' },
  modelUrl: { field: 'model.baseUrl', flag: '--model-url' },
  workers: { field: 'workers', flag: '--workers' },
};

/**
 * What the environment says. A variable that is empty counts as not set. Throws `BAD_CONFIGURATION` with the name of
 * the variable.
 */
export function environmentSettings(env: Environment): Settings {
  const said = Object.entries(VARIABLES).map(([field, name]) => ({ field, source: name, value: env[name] }));
  return settingsOf(said);
}

/** A key that stands in a variable of the user's own; undefined when it is empty. Throws `BAD_CONFIGURATION` with its name. */
export function keyFrom(env: Environment, name: string): string | undefined {
  return settingsOf([{ field: 'model.apiKey', source: name, value: env[name] }]).model?.apiKey;
}

/** What the flags say. Throws `BAD_CONFIGURATION` with the name of the flag. */
export function flagSettings(flags: ConfigFlags): Settings {
  const said = Object.entries(FLAGS).map(([name, { field, flag }]) => ({
    field,
    source: flag,
    value: flags[name as keyof ConfigFlags],
  }));
  return settingsOf(said);
}

/**
 * The environment for the embedded parts' processes. With an embedded Temporal it lacks the variables that say how to
 * log in to another one: together with the embedded one's address they would be taken for its own.
 */
export function stackEnvironment(config?: HoldfastConfig, env: Environment = process.env): NodeJS.ProcessEnv {
  if (config?.temporal.kind !== 'embedded') return { ...env };
  const login = /^TEMPORAL_(TLS|API_KEY|GRPC_META|CODEC|PROFILE|CONFIG_FILE)/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !login.test(name)));
}

function settingsOf(said: readonly { field: string; source: string; value: string | undefined }[]): Settings {
  const settings: Record<string, unknown> = {};
  for (const { field, source, value } of said) {
    if (value === undefined || value.trim() === '') continue;
    const alone = nested(field, numeric(field) ? numberOf(value) : value.trim());
    const checked = settingsSchema.safeParse(alone);
    const [issue] = checked.error?.issues ?? [];
    if (issue !== undefined) throw badSetting(source, field, value, issue.message);
    merge(settings, alone);
  }
  return settings as Settings;
}

const TEXTS = [
  ...['directory', 'temporal', 'database', 'model', 'http', 'metricsAddress', 'deployment', 'log'],
  ...['notify.webhook', 'notify.mail'],
];

function numeric(field: string): boolean {
  return !TEXTS.some((name) => field === name || field.startsWith(`${name}.`));
}

/** The number, or the text when it is none, for the schema to refuse. */
function numberOf(value: string): number | string {
  return /^\s*-?\d+(\.\d+)?\s*$/.test(value) ? Number(value) : value;
}

function nested(field: string, value: unknown): Record<string, unknown> {
  return field.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Record<string, unknown>;
}

function merge(into: Record<string, unknown>, from: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(from)) {
    if (typeof value === 'object' && value !== null) {
      const inner = (into[key] ?? {}) as Record<string, unknown>;
      into[key] = inner;
      merge(inner, value as Record<string, unknown>);
    } else into[key] = value;
  }
}
