import type { ClientOptions, ClientPlugin } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import type { BundlerPlugin, WorkerPlugin } from '@temporalio/worker';
import { createEngineActivities } from '../activities/engine-activities.js';
import { checkScopes } from '../contracts/check-scopes.js';
import { HoldfastError } from '../contracts/errors.js';
import { openStore } from '../store/database.js';
import { migrate } from '../store/migrate.js';
import { createPayloadCodec } from '../store/payload-codec.js';
import { ENGINE_INTERCEPTORS } from './bundle.js';
import type { WorkerSettings } from './worker.js';

/** What the plugin needs of a worker's settings; give it the same object as `startWorker`. */
export type HoldfastPluginOptions = Pick<WorkerSettings, 'databaseUrl' | 'routing'> & {
  readonly app: Pick<WorkerSettings['app'], 'steps' | 'approvals' | 'scopes' | 'reasons'> &
    Partial<Pick<WorkerSettings['app'], 'chains'>>;
};

/** For the `plugins` of a `Worker`, a `Client` and `bundleWorkflowCode`. */
export interface HoldfastPlugin
  extends Required<Pick<WorkerPlugin, 'name' | 'configureWorker' | 'configureReplayWorker'>>,
    Required<Pick<ClientPlugin, 'configureClient'>>,
    Required<Pick<BundlerPlugin, 'configureBundler'>> {
  /** Ends the connections to the store. Call it when everything that has the plugin has stopped. */
  close(): Promise<void>;
}

/** How many connections to the store one plugin opens at most. */
const MAX_CONNECTIONS = 10;

/**
 * Lets workflows of a Temporal worker of your own call steps and ask for approvals, on your task queue: it adds the
 * engine's activities, its workflow interceptors and its payload codec. Model calls, and what goes on by itself (the
 * sweeper), stay with the workers that `startWorker` or `holdfast worker` runs on the same database and namespace.
 *
 * Throws `BAD_CONFIGURATION` for scopes that cannot work. Adding it to a worker throws `BAD_CONFIGURATION` when that one has payload codecs of its own, and what is wrong with the
 * store.
 */
export function holdfastPlugin({ databaseUrl, app, routing }: HoldfastPluginOptions): HoldfastPlugin {
  checkScopes(app);
  const store = openStore(databaseUrl, { maxConnections: MAX_CONNECTIONS });
  const codec = createPayloadCodec(store);

  // A plugin of a connection is given to its workers too, so that all of this may come twice.
  function withCodec(converter: DataConverter = {}): DataConverter {
    const { payloadCodecs = [] } = converter;
    // The workers that call models would be given what only the other codec can read.
    if (payloadCodecs.some((other) => other !== codec)) {
      throw new HoldfastError(
        'BAD_CONFIGURATION',
        'This worker or client has payload codecs of its own, which the workers that call models do not have.',
        'Run the workflows that use Holdfast in a worker and with a client without other codecs.',
      );
    }
    return { ...converter, payloadCodecs: [codec] };
  }

  return {
    name: 'holdfast',

    async configureWorker(options) {
      const dataConverter = withCodec(options.dataConverter);
      await migrate(store);
      const engine = createEngineActivities({
        store,
        steps: app.steps,
        routing,
        ...(app.chains && { chains: app.chains }),
        ...(app.scopes && { scopes: app.scopes }),
        ...(app.approvals && { approvals: app.approvals }),
        ...(app.reasons && { reasons: app.reasons }),
      });
      return { ...options, dataConverter, activities: { ...options.activities, ...engine } };
    },

    configureReplayWorker: (options) => ({ ...options, dataConverter: withCodec(options.dataConverter) }),

    configureClient: (options: Omit<ClientOptions, 'plugins'>) => ({
      ...options,
      dataConverter: withCodec(options.dataConverter),
    }),

    configureBundler: (options) => ({
      ...options,
      workflowInterceptorModules: [...new Set([...(options.workflowInterceptorModules ?? []), ENGINE_INTERCEPTORS])],
    }),

    close: () => store.close(),
  };
}
