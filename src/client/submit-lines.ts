import { z } from 'zod';
import type { ChainState } from '../contracts/chains.js';
import { type ErrorCode, HoldfastError } from '../contracts/errors.js';
import type { Submission } from '../intake/validate.js';
import type { SubmitResult } from './operations.js';

/** Submissions at once: enough to keep PostgreSQL and Temporal busy. */
const AT_ONCE = 32;
/** Lines that wait together, in bytes, so that large ones are not held 32 at a time. */
const BYTES_AT_ONCE = 32 * 1024 * 1024;
/** JSON may write a character in three times its bytes (`\u00e9`); what is beside the input is small. */
const ESCAPED = 3;
const BESIDE_INPUT_BYTES = 4_096;
/** How often a line is tried while the store is away; the waits double from the first one. */
const TRIES = 6;
const FIRST_WAIT_MS = 200;

export interface SubmitLinesOptions {
  /** For lines that name none. */
  readonly tenant?: string;
  /** For lines that name none. */
  readonly priority?: string;
  /** For lines that name no time; see {@link Submission}. */
  readonly at?: string;
  /** For lines that name no time, from their submission on; see {@link Submission}. */
  readonly delay?: string;
}

/** What became of a line; `line` counts from 1, blank ones too. */
export type LineResult =
  | {
      readonly line: number;
      readonly id: string;
      readonly state: ChainState;
      readonly duplicate: boolean;
      /** When it starts (ISO 8601); undefined unless it is queued for later. */
      readonly startsAt?: string;
      /** Why the chain is only queued. */
      readonly warning?: string;
    }
  | {
      readonly line: number;
      readonly error: { readonly code: ErrorCode; readonly message: string; readonly remedy: string };
    };

type Submit = (submission: Submission) => Promise<SubmitResult>;

const LINE = z.strictObject({
  input: z.unknown().nonoptional('is missing'),
  tenant: z.string().optional(),
  priority: z.string().optional(),
  key: z.string().optional(),
  at: z.string().optional(),
  delay: z.string().optional(),
});

/**
 * Submits a chain per line, several at once, and tells what became of each in the order of the lines. Blank lines are
 * passed over. A line that cannot be accepted does not stop the others. Memory does not grow with the number of lines.
 */
export async function* submitLines(
  chain: string,
  source: AsyncIterable<Uint8Array>,
  options: SubmitLinesOptions & { readonly submit: Submit; readonly maxInputBytes: number },
): AsyncGenerator<LineResult> {
  const { submit, maxInputBytes, ...defaults } = options;
  const maxLineBytes = maxInputBytes * ESCAPED + BESIDE_INPUT_BYTES;
  const open: { readonly result: Promise<LineResult>; readonly bytes: number }[] = [];
  let bytes = 0;
  for await (const line of splitLines(source, maxLineBytes)) {
    if (line.bytes?.length === 0) continue;
    const size = line.bytes?.length ?? 0;
    for (let first = open[0]; first !== undefined; first = open[0]) {
      if (open.length < AT_ONCE && bytes + size <= BYTES_AT_ONCE) break;
      yield await first.result;
      open.shift();
      bytes -= first.bytes;
    }
    open.push({ result: submitLine(chain, line, maxLineBytes, defaults, submit), bytes: size });
    bytes += size;
  }
  for (const { result } of open) yield await result;
}

async function submitLine(
  chain: string,
  line: Line,
  maxLineBytes: number,
  defaults: SubmitLinesOptions,
  submit: Submit,
): Promise<LineResult> {
  try {
    const own = parseLine(line, maxLineBytes);
    const { at: _at, delay: _delay, ...others } = defaults;
    const isTimed = own.at !== undefined || own.delay !== undefined;
    const submission = { chain, ...(isTimed ? others : defaults), ...own };
    return { line: line.number, ...(await persist(() => submit(submission))) };
  } catch (error) {
    // Anything else is a defect, or says that no line can be submitted.
    if (!(error instanceof HoldfastError)) throw error;
    const { code, message, remedy } = error;
    return { line: line.number, error: { code, message, remedy } };
  }
}

/** Waits for a store that is away for a moment: submitting the same again is answered with what was written. */
async function persist(submit: () => Promise<SubmitResult>): Promise<SubmitResult> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await submit();
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== 'STORE_UNREACHABLE' || tries === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, FIRST_WAIT_MS * 2 ** (tries - 1)));
    }
  }
}

function parseLine({ bytes }: Line, maxLineBytes: number): Omit<Submission, 'chain'> {
  if (bytes === null) {
    throw new HoldfastError(
      'INPUT_TOO_LARGE',
      `The line has more than ${maxLineBytes} bytes.`,
      'Split its input, or raise maxInputBytes in the configuration.',
    );
  }
  let value: unknown;
  try {
    // Strict: in another encoding the model would be paid for a text with holes.
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    const cause = error instanceof SyntaxError ? `not JSON: ${error.message}` : 'not UTF-8';
    throw new HoldfastError('INVALID_INPUT', `The line is ${cause}.`, 'Write one JSON object per line, in UTF-8.', {
      cause: error,
    });
  }
  const parsed = LINE.safeParse(value);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the line'}: ${message}`);
    throw new HoldfastError(
      'INVALID_INPUT',
      `The line does not fit: ${problems.join('; ')}.`,
      'A line is { "input", "tenant"?, "priority"?, "key"?, "at"?, "delay"? }.',
    );
  }
  const { input, tenant, priority, key, at, delay } = parsed.data;
  return {
    input,
    ...(tenant === undefined ? {} : { tenant }),
    ...(priority === undefined ? {} : { priority }),
    ...(key === undefined ? {} : { key }),
    ...(at === undefined ? {} : { at }),
    ...(delay === undefined ? {} : { delay }),
  };
}

interface Line {
  readonly number: number;
  /** Trimmed; null for a line over the limit. */
  readonly bytes: Buffer | null;
}

const NEWLINE = 10;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/** The lines of a stream of bytes. Of a line over the limit nothing is kept, so that a file without newlines is no trap. */
async function* splitLines(source: AsyncIterable<Uint8Array>, limit: number): AsyncGenerator<Line> {
  let parts: Buffer[] = [];
  let length = 0;
  let number = 1;
  const take = (part: Buffer): void => {
    length += part.length;
    if (length > limit) parts = [];
    else if (part.length > 0) parts.push(part);
  };
  const end = (): Line => {
    const line = { number, bytes: length > limit ? null : trimmed(Buffer.concat(parts), number === 1) };
    parts = [];
    length = 0;
    number += 1;
    return line;
  };
  for await (const chunk of source) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, start)) {
      take(bytes.subarray(start, at));
      yield end();
      start = at + 1;
    }
    take(bytes.subarray(start));
  }
  if (length > 0) yield end();
}

/** Without a byte order mark and white space around it. */
function trimmed(line: Buffer, isFirst: boolean): Buffer {
  let start = isFirst && line.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.length : 0;
  let end = line.length;
  while (start < end && isSpace(line[start])) start += 1;
  while (end > start && isSpace(line[end - 1])) end -= 1;
  return line.subarray(start, end);
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d;
}
