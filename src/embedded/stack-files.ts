import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError } from '../contracts/errors.js';
import { isRunning, type ProcessIdentity } from './processes.js';

/** What a stack tells about itself, in the ready file and in `stack.json`. */
export interface StackReady {
  readonly temporalAddress: string;
  /** Null for an external Temporal, whose UI is not known. */
  readonly temporalUiUrl: string | null;
  readonly databaseUrl: string;
  /** Null when the SDK's own default is used, that is Claude itself. */
  readonly modelUrl: string | null;
  /** Null until the HTTP API serves for the first time. */
  readonly httpUrl: string | null;
  /** Null for a part that is external or not there at the moment. */
  readonly processes: {
    readonly worker: readonly number[];
    readonly temporal: number | null;
    readonly postgres: number | null;
    readonly model: number | null;
    readonly server: number | null;
  };
}

/** `stack.json`: the same, with the process that looks after it. */
export interface StackInfo extends StackReady {
  readonly supervisor: ProcessIdentity;
}

export function stackFile(directory: string): string {
  return join(directory, 'stack.json');
}

/** What runs in a state directory; null when nothing does, also when a kill -9 left the file behind. */
export function readStack(directory: string): StackInfo | null {
  const info = readJson(stackFile(directory)) as StackInfo | null;
  return info?.supervisor && isRunning(info.supervisor) ? info : null;
}

/** Null when it is missing or is not JSON. */
export function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

/** By rename, so that no reader sees half of it; readable by its owner only, since it holds the database's password. */
export function writeJson(file: string, value: unknown): void {
  const temporary = `${file}.${process.pid}`;
  rmSync(temporary, { force: true });
  writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  try {
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/**
 * Removes the ready file that a killed stack has left, so that nobody takes its addresses for those of the next one, and
 * finds out that the file cannot be written before anything is started.
 * @throws HoldfastError `BAD_USAGE`
 */
export function clearReadyFile(file: string): void {
  try {
    writeJson(file, null);
    rmSync(file);
  } catch (cause) {
    throw new HoldfastError(
      'BAD_USAGE',
      `The ready file ${file} cannot be written: ${(cause as Error).message}.`,
      'Name a file in a directory that exists and is writable.',
      { cause },
    );
  }
}
