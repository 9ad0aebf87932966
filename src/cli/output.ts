import { inspect } from 'node:util';
import { EXIT, HoldfastError } from '../contracts/errors.js';

/** Where a command prints: results on stdout, everything else on stderr. */
export interface Output {
  readonly json: boolean;
  /** The result: one JSON document with --json, otherwise the text. */
  result(value: unknown, text: string): void;
  /** Something to know that is not the result. */
  note(message: string): void;
}

export function createOutput(json: boolean): Output {
  return {
    json,
    result: (value, text) => {
      process.stdout.write(`${json ? JSON.stringify(value, null, 2) : text}\n`);
    },
    note: (message) => {
      process.stderr.write(`${message}\n`);
    },
  };
}

/** Prints an error as a sentence with cause and remedy; returns the exit code that it gives. */
export function reportError(error: unknown): number {
  if (error instanceof HoldfastError) {
    process.stderr.write(`${asSentence(error.message)} ${error.remedy}\n`);
    return error.exitCode;
  }
  // A defect of ours: the stack is what a bug report needs.
  process.stderr.write(`Unexpected error: ${inspect(error)}\n`);
  return EXIT.failed;
}

/** Messages of other programs often lack the full stop that keeps them apart from what follows. */
export function asSentence(message: string): string {
  return /[.!?]$/.test(message.trimEnd()) ? message.trimEnd() : `${message.trimEnd()}.`;
}

/** `1,234` micro-dollars as `$0.001234`; a cost that nobody knows as `unpriced`. */
export function formatCost(microUsd: number | null): string {
  return microUsd === null ? 'unpriced' : `$${(microUsd / 1_000_000).toFixed(6)}`;
}
