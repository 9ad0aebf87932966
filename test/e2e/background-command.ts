import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { BIN, type CommandResult, cleanEnvironment, until } from '../support/stack-process.js';

/** A command that a test goes on beside. */
export interface BackgroundCommand {
  readonly ended: Promise<CommandResult>;
  stderr(): string;
  /** Resolves when standard error holds a text; rejects when the command ends without it. */
  says(text: string): Promise<void>;
  /** Sends a signal to the command and nobody else; resolves with what it printed and its exit code. */
  end(signal?: NodeJS.Signals): Promise<CommandResult>;
}

/** Starts `holdfast …` and does not wait for it. */
export function startCommand(args: readonly string[], env: NodeJS.ProcessEnv, stdin = ''): BackgroundCommand {
  const child = spawn(process.execPath, [BIN, ...args], { env: cleanEnvironment(env), cwd: tmpdir() });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  child.stdin.end(stdin);
  const ended = new Promise<CommandResult>((resolve) => {
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
  return {
    ended,
    stderr: () => stderr,
    says: async (text) => {
      await until(`the command says ${text}`, async () => {
        if (stderr.includes(text)) return true;
        if (child.exitCode !== null) throw new Error(`It ended with ${child.exitCode}: ${stderr}`);
        return undefined;
      });
    },
    end: (signal = 'SIGTERM') => {
      child.kill(signal);
      return ended;
    },
  };
}

/** Processes that work in a directory: it stands in their arguments or their environment. Empty where nobody can tell. */
export function processesIn(directory: string): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) =>
      ['cmdline', 'environ'].some((file) => {
        try {
          return readFileSync(`/proc/${pid}/${file}`, 'utf8').includes(directory);
        } catch {
          return false;
        }
      }),
    );
}
