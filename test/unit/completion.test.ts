import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { completionScript, SHELLS } from '../../src/cli/completion-script.js';
import { createProgram } from '../../src/cli/main.js';

const program = createProgram();

/** What bash offers after the words, as its completion would ask. */
function bash(...words: string[]): string[] {
  const script = `${completionScript(program, 'bash')}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const cwd = fileURLToPath(new URL('.', import.meta.url));
  const output = execFileSync('bash', ['--norc', '-c', script, 'bash', 'holdfast', ...words], {
    cwd,
    encoding: 'utf8',
  });
  return output.split('\n').filter(Boolean);
}

const has = (program_: string): boolean => spawnSync(program_, ['-c', 'true']).error === undefined;

describe('completion in bash', () => {
  test('offers every visible command, and no hidden one', () => {
    const commands = program.createHelp().visibleCommands(program);
    expect(bash('')).toEqual(expect.arrayContaining(commands.map((command) => command.name())));
    expect(bash('simulated')).toEqual([]);
    expect(bash('stat')).toEqual(['status', 'stats']);
  });

  test('offers the options of the command that was named, also after options with values', () => {
    expect(bash('prune', '--ol')).toEqual(['--older-than']);
    expect(bash('--dir', 'status', 'prune', '--tenant', 'submit', '--e')).toEqual(['--erase']);
    expect(bash('status', '--e')).toEqual([]);
    expect(bash('status', '--temporal-')).toEqual(['--temporal-address', '--temporal-namespace']);
  });

  test('offers the choices of an argument, files where a file is meant, and nothing for other values', () => {
    expect(bash('completion', 'f')).toEqual(['fish']);
    expect(bash('submit', 'x', '--input', 'compl')).toEqual(
      readdirSync(new URL('.', import.meta.url)).filter((name) => name.startsWith('compl')),
    );
    expect(bash('prune', '--tenant', '')).toEqual([]);
  });

  test('registers itself', () => {
    const script = `${completionScript(program, 'bash')}\ncomplete -p holdfast`;
    expect(execFileSync('bash', ['--norc', '-c', script], { encoding: 'utf8' })).toContain('-F _holdfast holdfast');
  });
});

test.each(SHELLS.filter((shell) => shell !== 'bash'))(
  'the script for %s is read by it, or names every command where it is not installed',
  (shell) => {
    const script = completionScript(program, shell);
    for (const command of program.createHelp().visibleCommands(program)) expect(script).toContain(command.name());
    if (has(shell))
      expect(spawnSync(shell, ['-n'], { input: script, encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
  },
);
