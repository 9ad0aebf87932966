import { Runtime } from '@temporalio/worker';
import { HoldfastError } from '../contracts/errors.js';
import type { Log } from '../telemetry/log.js';
import { HISTOGRAM_BUCKETS } from '../telemetry/metrics.js';

/**
 * Installs the runtime of Temporal's SDK: its lines go to `log`, and metrics, its own and those of Holdfast, are served for
 * Prometheus under `/metrics`, both as long as the process lives. To be called before anything else of the SDK, whose
 * runtime exists once per process.
 * @returns how to end it, also twice: without a worker that has run it would keep the process alive
 * @param metricsAddress IP address and port, like `0.0.0.0:9464`; none: no metrics
 * @throws HoldfastError `BAD_CONFIGURATION` when nobody can listen there
 */
export function installRuntime(log: Log, metricsAddress?: string): () => Promise<void> {
  try {
    const runtime = Runtime.install({
      logger: log,
      telemetryOptions: {
        logging: { filter: { core: 'WARN', other: 'ERROR' }, forward: {} },
        ...(metricsAddress === undefined
          ? {}
          : {
              metrics: {
                prometheus: { bindAddress: metricsAddress, histogramBucketOverrides: HISTOGRAM_BUCKETS },
              },
            }),
      },
    });
    return () => runtime.shutdown();
  } catch (cause) {
    throw new HoldfastError(
      'BAD_CONFIGURATION',
      `Metrics cannot be served at ${metricsAddress}: ${cause instanceof Error ? cause.message : String(cause)}.`,
      'Set HOLDFAST_METRICS_ADDRESS to an IP address of this machine and a port that is free.',
      { cause },
    );
  }
}
