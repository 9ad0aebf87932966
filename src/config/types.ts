import type { ConnectionOptions } from '@temporalio/client';
import type { Application } from '../contracts/chain-definition.js';
import type { Lane, LanePolicy } from '../contracts/lanes.js';
import type { NotifyConfig } from '../contracts/notices.js';
import type { QuotaLimits } from '../contracts/quotas.js';
import type { ContextWindowTable } from '../models/context-windows.js';
import type { PriceTable } from '../models/prices.js';

/** How to reach a Temporal cluster: `address` apart, what Temporal's client and worker both take. */
export type TemporalConnection = Pick<ConnectionOptions, 'tls' | 'apiKey' | 'metadata'>;

export type TemporalConfig =
  | { readonly kind: 'embedded'; readonly namespace: string }
  | {
      readonly kind: 'external';
      readonly address: string;
      readonly namespace: string;
      readonly connection: TemporalConnection;
    };

export type DatabaseConfig = { readonly kind: 'embedded' } | { readonly kind: 'external'; readonly url: string };

/** Without `baseUrl` it is Anthropic's own API. */
export type ModelConfig =
  | { readonly kind: 'simulated' }
  | { readonly kind: 'anthropic'; readonly apiKey: string; readonly baseUrl?: string };

/** Another account with the provider, or another server, that single steps and edits may name. */
export interface AccountConfig {
  /** The variable that holds its key. Default: none, for a server on this machine. */
  readonly apiKeyEnv?: string;
  /** Default: that of the model. */
  readonly baseUrl?: string;
}

/**
 * A worker's version in Temporal's sense. With it a worker takes no chains before Temporal is told that its version is the
 * current one, and open chains go on with the current one.
 */
export interface DeploymentConfig {
  /** The same for all versions of an application. */
  readonly name: string;
  /** Another one for each deploy, e.g. a commit. */
  readonly buildId: string;
}

/** Ports of the embedded parts. Default: each one is chosen when it is not named. */
export interface PortsConfig {
  readonly temporal?: number;
  readonly ui?: number;
  readonly postgres?: number;
  readonly model?: number;
  /** Of the HTTP API, also outside the embedded stack. Default: 7400, in the embedded stack only if it is free. */
  readonly http?: number;
}

/** Where the HTTP API listens and who may use it. */
export interface HttpConfig {
  /** Default: 127.0.0.1. Any other than a loopback one needs a token. */
  readonly host: string;
  /** What callers send as `Authorization: Bearer`; at least 16 characters. Default: none, and whoever reaches it may use it. */
  readonly token?: string;
  /** Origins of Temporal's UI, whose pages may ask for what payloads stand for. Default: none, in the embedded stack its UI. */
  readonly uiOrigins: readonly string[];
}

export interface LogConfig {
  readonly format?: 'json' | 'text';
  readonly level?: 'debug' | 'info' | 'warn' | 'error';
}

/** The protocol of the exporter; it reads its endpoint and the rest from the environment by itself. */
export type TracingConfig = 'off' | 'http/protobuf' | 'http/json';

/** The configuration in force, complete and checked. */
export interface HoldfastConfig {
  /** State of the embedded parts, absolute. Default: `.holdfast` in the working directory. */
  readonly directory: string;
  /** Default: embedded, namespace `default`. */
  readonly temporal: TemporalConfig;
  /** Default: embedded. */
  readonly database: DatabaseConfig;
  /** Default: simulated. */
  readonly model: ModelConfig;
  /** By name; `apiKey` is what the variable holds, undefined when it is empty. Default: none. */
  readonly accounts: Readonly<Record<string, AccountConfig & { readonly apiKey: string | undefined }>>;
  readonly ports: PortsConfig;
  readonly http: HttpConfig;
  /**
   * Of each quota group that `quotas` says nothing else of, for all workers together. Default: 60 requests, 90,000 input and
   * 18,000 output tokens a minute; for the simulated model its own limits, 1,000, 450,000 and 90,000.
   */
  readonly quota: QuotaLimits;
  /** By quota group, over `quota`. Default: none. */
  readonly quotas: Readonly<Record<string, Partial<QuotaLimits>>>;
  /** Quota group by exact model id. Default: each model that Holdfast knows is a group of its own. */
  readonly quotaGroups: Readonly<Record<string, string>>;
  /** Default: those of the contracts, `fast` with 3 retries from 1 s and `heavy` with 2 retries from 10 s. */
  readonly lanes: Readonly<Record<Lane, LanePolicy>>;
  /** Prices that stand over the table of Holdfast, in dollars per million tokens. Default: none. */
  readonly prices: PriceTable;
  /** Limits of models that stand over the table of Holdfast. Default: none. */
  readonly contextWindows: ContextWindowTable;
  /** A model's stream that is silent for so long is given up, in milliseconds. Default: 60,000. */
  readonly idleTimeoutMs: number;
  /** The longest time of one model call, in milliseconds, for steps that state none. Default: 600,000. */
  readonly callTimeoutMs: number;
  /** A model call whose worker is not heard of for so long is given to another one, in milliseconds. Default: 3,000. */
  readonly heartbeatTimeoutMs: number;
  /** The largest input of a chain, in bytes. Default: 10,485,760 (10 MiB). */
  readonly maxInputBytes: number;
  /** Worker processes that `holdfast dev` starts. Default: 1. */
  readonly workers: number;
  /** Where `holdfast worker` serves metrics for Prometheus, an IP address and a port. Default: nowhere. */
  readonly metricsAddress?: string;
  /** The version that a worker is of, see {@link DeploymentConfig}. Default: workers have none. */
  readonly deployment?: DeploymentConfig;
  /** Who is told of what waits for a decision. Default: nobody. */
  readonly notify: NotifyConfig;
  /** How processes that run for long log. Default: level `info`; JSON lines, and text on a terminal. */
  readonly log: LogConfig;
  /** Whether and how spans are exported, by OpenTelemetry's own variables. Default: `off`. */
  readonly tracing: TracingConfig;
  /** What the configuration file registers, its paths absolute. Default: nothing, the shipped chains are used. */
  readonly app?: Application;
}

/** What a configuration file may say. Every field has the default that {@link HoldfastConfig} names. */
export interface HoldfastSettings {
  /** Relative paths start at the configuration file. */
  readonly directory?: string;
  /** Without an address the embedded Temporal is used, whatever the user's default TOML profile says. */
  readonly temporal?: TemporalConnection & { readonly address?: string; readonly namespace?: string };
  readonly database?: { readonly url?: string };
  readonly model?: {
    readonly baseUrl?: string;
    readonly apiKey?: string;
    /** By a name of your own. Keys stand in variables, never here. */
    readonly accounts?: Readonly<Record<string, AccountConfig>>;
  };
  readonly ports?: PortsConfig;
  /** `uiOrigins` is one text, with commas between several. */
  readonly http?: { readonly host?: string; readonly token?: string; readonly uiOrigins?: string };
  readonly quota?: Partial<QuotaLimits>;
  readonly quotas?: Readonly<Record<string, Partial<QuotaLimits>>>;
  readonly quotaGroups?: Readonly<Record<string, string>>;
  readonly lanes?: Partial<Readonly<Record<Lane, Partial<LanePolicy>>>>;
  readonly prices?: PriceTable;
  readonly contextWindows?: ContextWindowTable;
  readonly idleTimeoutMs?: number;
  readonly callTimeoutMs?: number;
  readonly heartbeatTimeoutMs?: number;
  readonly maxInputBytes?: number;
  readonly workers?: number;
  readonly metricsAddress?: string;
  readonly deployment?: Partial<DeploymentConfig>;
  readonly notify?: {
    readonly webhook?: Partial<NonNullable<NotifyConfig['webhook']>>;
    readonly mail?: Partial<NonNullable<NotifyConfig['mail']>>;
    readonly deadlineMs?: number;
  };
  readonly log?: LogConfig;
  /** A relative `workflowsPath` starts at the configuration file. */
  readonly app?: Application;
}

/** What commands take as options. Strings, as the command line gives them; an undefined one was not given. */
export interface ConfigFlags {
  readonly directory?: string;
  readonly temporalAddress?: string;
  readonly temporalNamespace?: string;
  readonly databaseUrl?: string;
  readonly modelUrl?: string;
  readonly workers?: string;
}
