/** A worker process over the application with scopes. Arguments: Temporal, database, and a file that holds calls open. */
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { quietTemporal } from '../../src/cli/quiet-temporal.js';
import { loadConfig } from '../../src/config/index.js';
import { scriptedModel } from '../../src/testing.js';
import { startWorker } from '../../src/workers/worker.js';
import { workerSettings } from '../../src/workers/worker-settings.js';
import { scopedApp } from './scoped-app.js';

const [address, databaseUrl, gate] = process.argv.slice(2) as [string, string, string];
quietTemporal();
const many = '1000000000';
const env = {
  HOLDFAST_HEARTBEAT_TIMEOUT_MS: '1000',
  HOLDFAST_REQUESTS_PER_MINUTE: many,
  HOLDFAST_INPUT_TOKENS_PER_MINUTE: many,
  HOLDFAST_OUTPUT_TOKENS_PER_MINUTE: many,
};
const model = scriptedModel(async ({ prompt }) => {
  while (prompt.includes('gated') && existsSync(gate)) await sleep(20);
  return prompt;
});
const config = await loadConfig({ env, cwd: tmpdir() });
const targets = { databaseUrl, temporal: { address, namespace: 'default' } };
await startWorker(workerSettings(config, targets, scopedApp, (line) => console.error(line), model));
process.send?.('ready');
