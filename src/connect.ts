import type { PayloadCodec } from '@temporalio/common';
import { shippedApplication } from './agents/shipped.js';
import { HoldfastClient } from './client/holdfast-client.js';
import { linkTemporal, type TemporalLink, type TemporalTarget } from './client/temporal-link.js';
import { type HoldfastConfig, type LoadConfigOptions, loadConfig } from './config/index.js';
import type { Application } from './contracts/chain-definition.js';
import { HoldfastError } from './contracts/errors.js';
import { channelsOf } from './contracts/notices.js';
import { readStack } from './embedded/stack-files.js';
import { contextWindowOf } from './models/context-windows.js';
import { openStore, type Store, type StoreOptions } from './store/database.js';
import { createPayloadCodec } from './store/payload-codec.js';

/**
 * A client on what the configuration names: the environment, `holdfast.config.ts`, and the embedded stack that runs in the
 * working directory for the rest. Call `close` when done: it ends the connections. Throws what is wrong with the
 * configuration; the servers themselves are reached when they are first needed.
 */
export async function connectHoldfast(options: LoadConfigOptions = {}): Promise<Connected> {
  const config = await loadConfig(options);
  return connectClient(config, targetsOf(config));
}

/** A client, and how to end its connections. */
export interface Connected {
  readonly client: HoldfastClient;
  readonly close: () => Promise<void>;
}

/** Addresses of the parts in use: the configured ones, and those of the running embedded stack for the rest. */
export interface Targets {
  readonly temporal: TemporalTarget;
  readonly databaseUrl: string;
  /** Temporal's UI, when it is known. */
  readonly uiUrl?: string;
}

/** Throws `STORE_UNREACHABLE` when a part should be embedded and no embedded stack runs. */
export function targetsOf(config: HoldfastConfig): Targets {
  const stack = readStack(config.directory);
  const { temporal, database } = config;
  const databaseUrl = database.kind === 'external' ? database.url : stack?.databaseUrl;
  const uiUrl = (temporal.kind === 'embedded' ? stack?.temporalUiUrl : null) ?? config.http.uiOrigins[0];
  const address = temporal.kind === 'external' ? temporal.address : stack?.temporalAddress;
  if (databaseUrl == null) {
    throw new HoldfastError(
      'STORE_UNREACHABLE',
      `No embedded stack runs in ${config.directory}, and DATABASE_URL is not set.`,
      'Start one with `npx holdfast dev`, or set DATABASE_URL and TEMPORAL_ADDRESS.',
    );
  }
  return {
    databaseUrl,
    ...(uiUrl && { uiUrl }),
    temporal: {
      address: address ?? null,
      namespace: temporal.namespace,
      ...(temporal.kind === 'external' && temporal.connection !== undefined ? { connection: temporal.connection } : {}),
    },
  };
}

/** The chains and steps in use: those that the configuration file registers, otherwise the shipped ones. */
export function applicationOf(config: HoldfastConfig): Application {
  return config.app ?? shippedApplication;
}

/** A client, and the connections that it stands on. */
export interface ConnectedParts extends Connected {
  readonly store: Store;
  readonly temporal: TemporalLink;
  readonly codec: PayloadCodec;
}

/** A client on given targets. `close` ends its connections. */
export function connectClient(config: HoldfastConfig, targets: Targets): Connected {
  return connectParts(config, targets, { maxConnections: 4 });
}

/** The same with its connections, for a process that serves others. */
export function connectParts(config: HoldfastConfig, targets: Targets, options: StoreOptions): ConnectedParts {
  const store = openStore(targets.databaseUrl, options);
  const codec = createPayloadCodec(store);
  const temporal = linkTemporal(targets.temporal, codec);
  const limits = {
    maxInputBytes: config.maxInputBytes,
    contextWindowOf: (model: string) => contextWindowOf(model, config.contextWindows)?.contextTokens ?? null,
  };
  return {
    client: new HoldfastClient({
      store,
      temporal,
      app: applicationOf(config),
      limits,
      accounts: Object.keys(config.accounts),
      ...(targets.uiUrl && { uiUrl: targets.uiUrl }),
      notifies: channelsOf(config.notify),
    }),
    store,
    temporal,
    codec,
    close: async () => {
      await temporal.close();
      await store.close();
    },
  };
}
