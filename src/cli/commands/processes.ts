import type { Command } from 'commander';
import { HoldfastError } from '../../contracts/errors.js';
import { createOutput } from '../output.js';
import { untilStopped } from '../until-stopped.js';

/**
 * Adds `dev`, `worker` and the hidden `simulated-claude`. Each loads what it needs when it is called: Temporal's worker
 * alone takes over a second, which `status` should not have to wait for.
 */
export function addProcessCommands(program: Command): void {
  program
    .command('dev')
    .description(
      'run the embedded stack in the foreground: Temporal, PostgreSQL, simulated Claude, a worker, the HTTP API',
    )
    .option('--ready-file <file>', 'write addresses and process ids there once everything serves')
    .option('--workers <number>', 'worker processes (default: 1)')
    .addHelpText('after', '\nExample:\n  holdfast dev --workers 2 --ready-file ready.json')
    .action(dev);
  program
    .command('worker')
    .description('run one worker process, for production')
    .addHelpText(
      'after',
      '\nExample:\n  DATABASE_URL=postgres://… TEMPORAL_ADDRESS=temporal:7233 ANTHROPIC_API_KEY=… holdfast worker',
    )
    .action(worker);
  program
    .command('simulated-claude', { hidden: true })
    .option('--port <number>', 'port on loopback (default: any)')
    .option('--log-file <file>', 'append each call as a line of JSON')
    .action(async (flags: { port?: string; logFile?: string }) => {
      const { runSimulatedClaude } = await import('../../embedded/simulated-claude/main.js');
      await runSimulatedClaude({ port: Number(flags.port ?? 0), logFile: flags.logFile });
    });
}

async function dev(flags: { readyFile?: string }, command: Command): Promise<void> {
  const { note } = createOutput(false);
  const stop = untilStopped();
  const [{ configOf }, { startDevStack }] = await Promise.all([import('../connect.js'), import('../dev-stack.js')]);
  const config = await configOf(command);
  const stack = await startDevStack(config, { log: note, signal: stop.signal, readyFile: flags.readyFile }).catch(
    (error: unknown) => {
      // Not a failure: somebody changed their mind, and what had been started is gone again.
      if (stop.signal.aborted && error === stop.signal.reason) return undefined;
      throw error;
    },
  );
  if (stack === undefined) return note('Stopped before it was ready.');
  const { temporalAddress, temporalUiUrl, modelUrl, httpUrl } = stack.ready;
  note(`Temporal ${temporalAddress}${temporalUiUrl === null ? '' : `, its UI ${temporalUiUrl}`}`);
  const model = stack.ready.processes.model === null ? 'Model' : 'Simulated Claude';
  if (modelUrl !== null) note(`${model} ${modelUrl}`);
  note(`HTTP API ${httpUrl}`);
  note('Ready. Ctrl-C stops everything; state stays.');
  await stop.requested;
  void stop.again.then(() => stack.kill());
  await stack.stop();
}

async function worker(_flags: object, command: Command): Promise<void> {
  const stop = untilStopped();
  const [
    { configOf },
    { applicationOf, targetsOf },
    { workerSettings },
    { installRuntime },
    { startWorker },
    { startTelemetry },
  ] = await Promise.all([
    import('../connect.js'),
    import('../../connect.js'),
    import('../../workers/worker-settings.js'),
    import('../../workers/runtime.js'),
    import('../../workers/worker.js'),
    import('../start-telemetry.js'),
  ]);
  const config = await configOf(command);
  const { log, stop: stopTelemetry } = await startTelemetry(config);
  const endRuntime = installRuntime(log, config.metricsAddress);
  try {
    const settings = workerSettings(config, targetsOf(config), applicationOf(config), (message) => log.info(message));
    const running = await startWorker(settings);
    log.info('worker polls');
    process.send?.({ type: 'ready' });
    const failed = running.stopped.catch((error: unknown) => {
      throw new HoldfastError(
        'PART_FAILED',
        `The worker stopped: ${String(error)}.`,
        'Read the cause above; start it again.',
        { cause: error },
      );
    });
    await Promise.race([stop.requested, failed]);
    await running.stop();
  } finally {
    await endRuntime();
    await stopTelemetry();
  }
}
