import { z } from 'zod';
import type { Application } from '../contracts/chain-definition.js';
import { isMailAddress } from '../contracts/notices.js';

const text = z.string().trim().min(1, 'expected a text that is not empty');
const whole = (least: number, most = Number.MAX_SAFE_INTEGER) =>
  z
    .number('expected a number')
    .int('expected a whole number')
    .min(least, `expected at least ${least}`)
    .max(most, `expected at most ${most}`);
/** Longer ones would overflow the timers of Node. */
const milliseconds = (least: number) => whole(least, 2 ** 31 - 1);
const dollars = z.number('expected a number').min(0, 'expected at least 0');
const accountName = text.regex(/^[\w-]{1,40}$/, 'expected letters, digits, "-" and "_", at most 40 of them');
/** Of a model, or of one through an account. */
const anyGroup = text.regex(/^[\w.-]{1,100}(@[\w-]{1,40})?$/, 'expected the name of a quota group, or group@account');
const group = text.regex(/^[\w.-]{1,100}$/, 'expected letters, digits, ".", "-" and "_", at most 100 of them');

/** A secret that is sent as a header: other characters cannot be, and would show up in errors. */
const headerText = text.regex(/^[\x21-\x7e]+$/, 'expected printable ASCII characters without spaces');

const url = (protocols: readonly string[], example: string) =>
  text.refine((value) => URL.canParse(value) && protocols.includes(new URL(value).protocol), {
    message: `expected a URL like ${example}`,
  });

/** Temporal joins it and the build id by a dot. */
const deploymentName = text.regex(/^[^.\s]+$/, 'expected a text without dots and spaces');
const buildId = text.regex(/^\S+$/, 'expected a text without spaces');

const address = text.refine(isMailAddress, 'expected an address like ops@example.com');
const addresses = text.refine(
  (value) => value.split(',').every((part) => isMailAddress(part.trim())),
  'expected addresses like ops@example.com, with commas between them',
);
/** `fetch` refuses a URL with a login, and its error would show it. */
const webhookUrl = url(['http:', 'https:'], 'https://example.com/holdfast').refine(
  (value) => !URL.canParse(value) || (new URL(value).username === '' && new URL(value).password === ''),
  'expected a URL without user and password; the signature says who sends',
);
const smtpUrl = url(['smtp:', 'smtps:'], 'smtps://user:password@smtp.example.com').refine(
  (value) => !URL.canParse(value) || new URL(value).hostname !== '',
  'expected a URL with a host',
);

const TEN_YEARS_MS = 10 * 365 * 86_400_000;

const port = whole(1, 65_535);
const origins = text.refine(
  (value) => value.split(',').every((part) => URL.canParse(part) && new URL(part).origin === part.trim()),
  'expected origins like http://127.0.0.1:8233, with commas between them',
);
const lane = z.strictObject({
  retries: whole(0, 100).optional(),
  initialDelayMs: milliseconds(0).optional(),
  concurrency: whole(1, 10_000).optional(),
});
const quota = z.strictObject({
  requestsPerMinute: whole(1).optional(),
  inputTokensPerMinute: whole(1).optional(),
  outputTokensPerMinute: whole(1).optional(),
  burstSeconds: z
    .number('expected a number')
    .positive('expected more than 0')
    .max(60, 'expected at most 60')
    .optional(),
  lowShare: z.number('expected a number').min(0, 'expected at least 0').max(0.5, 'expected at most 0.5').optional(),
  countCacheReads: z.boolean('expected true or false').optional(),
});
const object = z.custom<Readonly<Record<string, unknown>>>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'expected an object',
);

/** Every field of an application: one that is missing here would be refused as unknown. */
const application = {
  chains: object,
  steps: object,
  approvals: object.optional(),
  scopes: object.optional(),
  reasons: object.optional(),
  workflowsPath: text,
} satisfies Record<keyof Application, z.ZodType>;

/** What a configuration file may say; the environment and flags say parts of it. Nothing in it has a default. */
export const settingsSchema = z.strictObject({
  directory: text.optional(),
  temporal: z
    .strictObject({
      address: text.regex(/^[^\s/]+$/, 'expected host:port without "http://"').optional(),
      namespace: text.optional(),
      tls: z.union([z.boolean(), object]).nullish(),
      apiKey: z.union([headerText, z.custom<() => string>((value) => typeof value === 'function')]).optional(),
      metadata: object.optional(),
    })
    .optional(),
  database: z
    .strictObject({
      url: url(['postgres:', 'postgresql:'], 'postgresql://user:password@host:5432/database').optional(),
    })
    .optional(),
  model: z
    .strictObject({
      baseUrl: url(['http:', 'https:'], 'https://api.anthropic.com').optional(),
      apiKey: headerText.optional(),
      accounts: z
        .record(
          accountName,
          z.strictObject({
            apiKeyEnv: text.regex(/^[A-Za-z_]\w*$/, 'expected the name of a variable').optional(),
            baseUrl: url(['http:', 'https:'], 'https://api.anthropic.com').optional(),
          }),
        )
        .optional(),
    })
    .optional(),
  ports: z
    .strictObject({
      temporal: port.optional(),
      ui: port.optional(),
      postgres: port.optional(),
      model: port.optional(),
      http: whole(0, 65_535).optional(),
    })
    .optional(),
  http: z
    .strictObject({
      host: text.regex(/^[^\s/]+$/, 'expected an address or a host name').optional(),
      token: headerText.min(16, 'expected at least 16 characters').optional(),
      uiOrigins: origins.optional(),
    })
    .optional(),
  quota: quota.optional(),
  quotas: z.record(anyGroup, quota).optional(),
  quotaGroups: z.record(text, group).optional(),
  lanes: z.strictObject({ fast: lane.optional(), heavy: lane.optional() }).optional(),
  prices: z
    .record(
      text,
      z.strictObject({
        input: dollars,
        output: dollars,
        cacheWrite5m: dollars,
        cacheWrite1h: dollars,
        cacheRead: dollars,
        longPrompt: z.strictObject({ overTokens: whole(0), factor: dollars }).optional(),
      }),
    )
    .optional(),
  contextWindows: z.record(text, z.strictObject({ contextTokens: whole(1), maxOutputTokens: whole(1) })).optional(),
  idleTimeoutMs: milliseconds(1).optional(),
  callTimeoutMs: milliseconds(1).optional(),
  heartbeatTimeoutMs: milliseconds(100).optional(),
  maxInputBytes: whole(1).optional(),
  workers: whole(0, 100).optional(),
  metricsAddress: text.regex(/^[^\s/]+:\d+$/, 'expected an address like 0.0.0.0:9464').optional(),
  deployment: z.strictObject({ name: deploymentName.optional(), buildId: buildId.optional() }).optional(),
  notify: z
    .strictObject({
      webhook: z
        .strictObject({
          url: webhookUrl.optional(),
          secret: headerText.min(16, 'expected at least 16 characters').optional(),
        })
        .optional(),
      mail: z
        .strictObject({
          smtpUrl: smtpUrl.optional(),
          from: address.optional(),
          to: addresses.optional(),
          escalateTo: addresses.optional(),
        })
        .optional(),
      deadlineMs: whole(1, TEN_YEARS_MS).optional(),
    })
    .optional(),
  log: z
    .strictObject({
      format: z.enum(['json', 'text'], 'expected json or text').optional(),
      level: z.enum(['debug', 'info', 'warn', 'error'], 'expected debug, info, warn or error').optional(),
    })
    .optional(),
  app: z.strictObject(application).optional(),
});

export type Settings = z.infer<typeof settingsSchema>;

/** Fields whose values are not shown, whoever asks. */
export const SECRET_FIELDS: readonly string[] = [
  'database.url',
  'model.apiKey',
  // Somebody may write the key itself where its variable is to be named.
  'model.accounts',
  'temporal.apiKey',
  'temporal.tls',
  'temporal.metadata',
  'http.token',
  'notify.webhook.url',
  'notify.webhook.secret',
  'notify.mail.smtpUrl',
];
