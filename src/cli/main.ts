import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { EXIT } from '../contracts/errors.js';
import { addCancelCommand } from './commands/cancel.js';
import { addCompletionCommand } from './commands/completion.js';
import { addDeadLettersCommand } from './commands/dead-letters.js';
import { addDecideCommands } from './commands/decide.js';
import { addDoctorCommand } from './commands/doctor.js';
import { addListCommand } from './commands/list.js';
import { addPauseCommands } from './commands/pause.js';
import { addProcessCommands } from './commands/processes.js';
import { addPruneCommand } from './commands/prune.js';
import { addReceiptsCommand } from './commands/receipts.js';
import { addReplayCommands } from './commands/replay.js';
import { addReprioritizeCommand } from './commands/reprioritize.js';
import { addResultCommand } from './commands/result.js';
import { addScheduleCommand } from './commands/schedule.js';
import { addServerCommand } from './commands/server.js';
import { addStatsCommand } from './commands/stats.js';
import { addStatusCommand } from './commands/status.js';
import { addSubmitCommand } from './commands/submit.js';
import { addWatchCommand } from './commands/watch.js';
import { addWeightCommands } from './commands/weight.js';
import { reportError } from './output.js';

/** The program with all its commands. Each sets `process.exitCode`; none ends the process itself. */
export function createProgram(): Command {
  const program = new Command('holdfast')
    .description('Durable LLM agent chains on Temporal.')
    .version(ownVersion(), '--version', 'print the version of Holdfast')
    .option('--dir <path>', 'state of the embedded stack (default: .holdfast)')
    .option('--temporal-address <host:port>', 'an external Temporal')
    .option('--temporal-namespace <name>', 'its namespace')
    .option('--database-url <url>', 'an external PostgreSQL')
    .option('--model-url <url>', 'base URL of the Messages API')
    .showHelpAfterError()
    .exitOverride();
  addProcessCommands(program);
  addServerCommand(program);
  addSubmitCommand(program);
  addStatusCommand(program);
  addListCommand(program);
  addWatchCommand(program);
  addResultCommand(program);
  addReceiptsCommand(program);
  addDecideCommands(program);
  addDeadLettersCommand(program);
  addCancelCommand(program);
  addPauseCommands(program);
  addScheduleCommand(program);
  addReprioritizeCommand(program);
  addWeightCommands(program);
  addStatsCommand(program);
  addReplayCommands(program);
  addDoctorCommand(program);
  addPruneCommand(program);
  addCompletionCommand(program);
  return program;
}

/** At the same place beside the sources and beside what is built of them. */
function ownVersion(): string {
  return (createRequire(import.meta.url)('../../package.json') as { version: string }).version;
}

/** Runs one command line; resolves with its exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // Nobody reads any more, as after `| head -1`: no defect, and the command may have more to do than to print.
    if (error.code !== 'EPIPE') throw error;
  });
  try {
    await createProgram().parseAsync(argv as string[], { from: 'user' });
    return Number(process.exitCode ?? EXIT.done);
  } catch (error) {
    // Commander has printed what is wrong; help and version are no errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.badInput;
    return reportError(error);
  } finally {
    // The channel to a supervisor would keep the process alive, also after a failure.
    if (process.connected) process.disconnect();
  }
}
