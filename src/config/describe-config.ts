import type { HoldfastConfig, TemporalConfig } from './types.js';

const HIDDEN = '***';

/** The configuration as plain data that can be shown and logged: without passwords, keys, certificates and metadata. */
export function describeConfig(config: HoldfastConfig): Record<string, unknown> {
  const { temporal, database, model, accounts, http, notify, app, ...rest } = config;
  return {
    ...rest,
    temporal: describeTemporal(temporal),
    http: { ...http, ...(http.token === undefined ? {} : { token: HIDDEN }) },
    notify: describeNotify(notify),
    database: database.kind === 'external' ? { ...database, url: withoutLogin(database.url) } : database,
    model:
      model.kind === 'anthropic'
        ? { ...model, apiKey: HIDDEN, ...(model.baseUrl === undefined ? {} : { baseUrl: withoutLogin(model.baseUrl) }) }
        : model,
    accounts: Object.fromEntries(Object.entries(accounts).map(([name, account]) => [name, describeAccount(account)])),
    ...(app === undefined
      ? {}
      : { app: { chains: Object.keys(app.chains), steps: Object.keys(app.steps), workflowsPath: app.workflowsPath } }),
  };
}

function describeAccount({ apiKeyEnv, apiKey, baseUrl }: HoldfastConfig['accounts'][string]): Record<string, unknown> {
  return {
    ...(apiKeyEnv === undefined ? {} : { apiKeyEnv }),
    ...(apiKey === undefined ? {} : { apiKey: HIDDEN }),
    ...(baseUrl === undefined ? {} : { baseUrl: withoutLogin(baseUrl) }),
  };
}

function describeTemporal(temporal: TemporalConfig): Record<string, unknown> {
  if (temporal.kind === 'embedded') return temporal;
  const { tls, apiKey, metadata } = temporal.connection;
  return {
    ...temporal,
    connection: {
      ...(tls === undefined ? {} : { tls: typeof tls === 'object' && tls !== null ? HIDDEN : tls }),
      ...(apiKey === undefined ? {} : { apiKey: HIDDEN }),
      ...(metadata === undefined
        ? {}
        : { metadata: Object.fromEntries(Object.keys(metadata).map((key) => [key, HIDDEN])) }),
    },
  };
}

/** The path of a webhook's URL often is what lets a caller in. */
function describeNotify({ webhook, mail, ...rest }: HoldfastConfig['notify']): Record<string, unknown> {
  return {
    ...rest,
    ...(webhook && {
      webhook: {
        url: `${new URL(webhook.url).origin}/${HIDDEN}`,
        ...(webhook.secret === undefined ? {} : { secret: HIDDEN }),
      },
    }),
    ...(mail && { mail: { ...mail, smtpUrl: withoutLogin(mail.smtpUrl) } }),
  };
}

/** A URL as it may be shown: passwords stand in the login, but also in parameters such as `?password=`. */
function withoutLogin(text: string): string {
  const url = new URL(text);
  if (url.password !== '') url.password = HIDDEN;
  for (const name of url.searchParams.keys()) {
    if (/pass|secret|key|token/i.test(name)) url.searchParams.set(name, HIDDEN);
  }
  return url.href;
}
