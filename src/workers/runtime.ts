import { Runtime } from '@temporalio/worker';
import { HoldfastError } from '../contracts/errors.js';

/**
 * Serves the metrics of Temporal's SDK for Prometheus under `/metrics`, as long as the process lives. To be called before
 * anything else of the SDK, whose runtime exists once per process.
 * @param address IP address and port, like `0.0.0.0:9464`
 * @throws HoldfastError `BAD_CONFIGURATION` when nobody can listen there
 */
export function serveMetrics(address: string): void {
  try {
    Runtime.install({ telemetryOptions: { metrics: { prometheus: { bindAddress: address } } } });
  } catch (cause) {
    throw new HoldfastError(
      'BAD_CONFIGURATION',
      `Metrics cannot be served at ${address}: ${cause instanceof Error ? cause.message : String(cause)}.`,
      'Set HOLDFAST_METRICS_ADDRESS to an IP address of this machine and a port that is free.',
      { cause },
    );
  }
}
