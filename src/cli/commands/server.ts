import type { Command } from 'commander';
import { untilStopped } from '../until-stopped.js';

/** Adds `server`, which loads what it needs when it is called. */
export function addServerCommand(program: Command): void {
  program.command('server').description('serve the HTTP API, for production').action(server);
}

const DEFAULT_PORT = 7400;

async function server(_flags: object, command: Command): Promise<void> {
  const stop = untilStopped();
  const [{ configOf }, { connectParts, targetsOf }, { startServer }, { migrate }, { startTelemetry }] =
    await Promise.all([
      import('../connect.js'),
      import('../../connect.js'),
      import('../../server/server.js'),
      import('../../store/migrate.js'),
      import('../start-telemetry.js'),
    ]);
  const config = await configOf(command);
  const { log, stop: stopTelemetry } = await startTelemetry(config);
  const { close, ...parts } = connectParts(config, targetsOf(config), { maxConnections: 10 });
  try {
    await migrate(parts.store);
    const running = await startServer({
      ...parts,
      ...config.http,
      port: config.ports.http ?? DEFAULT_PORT,
      maxInputBytes: config.maxInputBytes,
      log: (line) => log.info(line),
    });
    log.info(`HTTP API ${running.url}`);
    process.send?.({ type: 'ready', url: running.url });
    await stop.requested;
    await running.stop();
  } finally {
    await close();
    await stopTelemetry();
  }
}
