import type { HoldfastConfig } from '../config/index.js';
import { createLog, type Log } from '../telemetry/log.js';
import { startTracing } from '../telemetry/start-tracing.js';

/** The log of a process that runs for long, and its traces as far as the configuration wants them. */
export async function startTelemetry({
  log: { format = process.stderr.isTTY ? 'text' : 'json', level = 'info' },
  tracing,
}: HoldfastConfig): Promise<{ readonly log: Log; readonly stop: () => Promise<void> }> {
  const log = createLog({ format, level });
  return { log, stop: await startTracing(tracing, (message) => log.warn(message, { component: 'opentelemetry' })) };
}
