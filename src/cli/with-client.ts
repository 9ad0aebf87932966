import type { Command } from 'commander';
import type { HoldfastClient } from '../client/holdfast-client.js';

/** Connects when a command needs it: `--help` does not. */
export async function withClient<Result>(
  command: Command,
  run: (client: HoldfastClient) => Promise<Result>,
): Promise<Result> {
  const connect = await import('./connect.js');
  return connect.withClient(command, run);
}
