import type { Command } from 'commander';
import type { HoldfastClient } from '../client/holdfast-client.js';
import { type HoldfastConfig, loadConfig } from '../config/index.js';
import { connectClient, targetsOf } from '../connect.js';
import { startTracing } from '../telemetry/start-tracing.js';
import { createOutput } from './output.js';

/** Reads the configuration for a command: its flags, the environment, the configuration file, the defaults. */
export function configOf(command: Command): Promise<HoldfastConfig> {
  const flags = command.optsWithGlobals<Record<string, string | undefined>>();
  return loadConfig({
    flags: {
      directory: flags.dir,
      temporalAddress: flags.temporalAddress,
      temporalNamespace: flags.temporalNamespace,
      databaseUrl: flags.databaseUrl,
      modelUrl: flags.modelUrl,
      workers: flags.workers,
    },
  });
}

/** How long a command waits for a collector of traces in the end, in milliseconds: nobody should wait long for a `status`. */
const EXPORT_TIMEOUT_MS = 3_000;

/** Runs something with a client on the targets of the configuration, and closes what it opened. */
export async function withClient<Result>(
  command: Command,
  run: (client: HoldfastClient) => Promise<Result>,
): Promise<Result> {
  const config = await configOf(command);
  const { client, close } = connectClient(config, targetsOf(config));
  const stopTracing = await startTracing(config.tracing, createOutput(false).note, EXPORT_TIMEOUT_MS);
  try {
    return await run(client);
  } finally {
    await close();
    await stopTracing();
  }
}
