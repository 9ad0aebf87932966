/** A worker process of the run: what `holdfast worker` is, with the chains of the run. */

import { loadConfig } from '../src/config/index.js';
import { targetsOf } from '../src/connect.js';
import { createLog } from '../src/telemetry/log.js';
import { installRuntime } from '../src/workers/runtime.js';
import { startWorker } from '../src/workers/worker.js';
import { workerSettings } from '../src/workers/worker-settings.js';
import { chaosApplication } from './chains/app.js';

const config = await loadConfig();
const log = createLog({ format: 'json', level: 'info' });
installRuntime(log);
const worker = await startWorker(
  workerSettings(config, targetsOf(config), chaosApplication, (message) => log.info(message)),
);
process.send?.({ type: 'ready' });
for (const event of ['SIGTERM', 'disconnect']) {
  process.once(event, () => void worker.stop().finally(() => process.exit()));
}
await worker.stopped;
// Without its supervisor's signal it has failed: another one takes its place.
process.exit(1);
