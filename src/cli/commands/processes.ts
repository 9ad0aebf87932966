import { Command } from 'commander';
import { HoldfastError } from '../../contracts/errors.js';
import { runSimulatedClaude } from '../../embedded/simulated-claude/main.js';
import { startWorker } from '../../workers/worker.js';
import { applicationOf, configOf, targetsOf } from '../connect.js';
import { startDevStack } from '../dev-stack.js';
import { createOutput } from '../output.js';
import { untilStopped } from '../until-stopped.js';
import { workerSettings } from '../worker-settings.js';

/** Adds `dev`, `worker` and the hidden `simulated-claude`. */
export function addProcessCommands(program: Command): void {
  program
    .command('dev')
    .description('run the embedded stack in the foreground: Temporal, PostgreSQL, simulated Claude, a worker')
    .option('--ready-file <file>', 'write addresses and process ids there once everything serves')
    .action(dev);
  program.command('worker').description('run one worker process, for production').action(worker);
  program
    .command('simulated-claude', { hidden: true })
    .option('--port <number>', 'port on loopback (default: any)')
    .option('--log-file <file>', 'append each call as a line of JSON')
    .action((flags: { port?: string; logFile?: string }) =>
      runSimulatedClaude({ port: Number(flags.port ?? 0), logFile: flags.logFile }),
    );
}

async function dev(flags: { readyFile?: string }, command: Command): Promise<void> {
  const { note } = createOutput(false);
  const config = await configOf(command);
  const stop = untilStopped();
  const stack = await startDevStack(config, { log: note, signal: stop.signal, readyFile: flags.readyFile });
  const { temporalAddress, temporalUiUrl, modelUrl } = stack.ready;
  note(`Temporal ${temporalAddress}${temporalUiUrl === null ? '' : `, its UI ${temporalUiUrl}`}`);
  if (modelUrl !== null) note(`Simulated Claude ${modelUrl}`);
  note('Ready. Ctrl-C stops everything; state stays.');
  try {
    await stop.requested;
  } finally {
    await stack.stop();
  }
}

async function worker(_flags: object, command: Command): Promise<void> {
  const { note } = createOutput(false);
  const config = await configOf(command);
  const stop = untilStopped();
  const settings = workerSettings(config, targetsOf(config), applicationOf(config), note);
  const running = await startWorker(settings);
  note(`Worker ${process.pid} polls.`);
  process.send?.({ type: 'ready' });
  const failed = running.stopped.catch((error: unknown) => {
    throw new HoldfastError('PART_FAILED', `The worker stopped: ${String(error)}.`, 'Read the cause above; start it again.', {
      cause: error,
    });
  });
  await Promise.race([stop.requested, failed]);
  await running.stop();
}
