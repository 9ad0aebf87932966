import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { HoldfastError } from '../contracts/errors.js';

/** The JSON in a file, or with `-` on standard input. Throws `INVALID_INPUT` when it cannot be read or is none. */
export async function readInput(file: string): Promise<unknown> {
  const content = await readText(file);
  try {
    return JSON.parse(content);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new HoldfastError('INVALID_INPUT', `${nameOf(file)} is not JSON: ${detail}.`, 'Correct it.', {
      cause: error,
    });
  }
}

function nameOf(file: string): string {
  return file === '-' ? 'standard input' : file;
}

/** The text in a file, or with `-` on standard input. Throws `INVALID_INPUT` when it cannot be read. */
export async function readText(file: string): Promise<string> {
  const name = nameOf(file);
  let bytes: Buffer;
  try {
    bytes = file === '-' ? await buffer(process.stdin) : await readFile(file);
  } catch (error) {
    throw unreadable(name, error);
  }
  try {
    // Strict: in another encoding the model would be paid for a text with holes. It also drops a byte order mark.
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new HoldfastError('INVALID_INPUT', `${name} is not UTF-8.`, 'Save it as UTF-8.', { cause: error });
  }
}

/** The error for an input file that cannot be read. */
export function unreadable(name: string, error: unknown): HoldfastError {
  const code = (error as NodeJS.ErrnoException).code;
  const cause = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code ?? String(error)})`;
  return new HoldfastError('INVALID_INPUT', `The input file ${name} ${cause}.`, 'Name a file that can be read.', {
    cause: error,
  });
}
