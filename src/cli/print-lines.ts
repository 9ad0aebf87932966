import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Writes text to standard output as it comes, no faster than it is read. Ends when nobody reads any more: false then. */
export async function printLines(text: AsyncIterable<string>): Promise<boolean> {
  try {
    // Not closed at the end: it belongs to the process.
    await pipeline(Readable.from(text), process.stdout, { end: false });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
    return false;
  }
}
