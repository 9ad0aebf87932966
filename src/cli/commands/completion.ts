import { Argument, type Command } from 'commander';
import { completionScript, SHELLS, type Shell } from '../completion-script.js';

/** Adds `completion`. */
export function addCompletionCommand(program: Command): void {
  program
    .command('completion')
    .description('print the completion script of a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .addHelpText('after', '\nExample, in ~/.bashrc:\n  eval "$(holdfast completion bash)"')
    .action((shell: Shell) => {
      process.stdout.write(completionScript(program, shell));
    });
}
