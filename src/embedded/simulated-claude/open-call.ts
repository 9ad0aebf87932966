import type { CallLog } from './call-log.js';
import { type CallRecord, type CallState, type CallUsage, NO_USAGE, type SimulatorClock } from './types.js';

const LOGGED_HEADERS = ['idempotency-key', 'x-stainless-retry-count', 'user-agent', 'anthropic-beta'];

export function loggedHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string> {
  return Object.fromEntries(
    LOGGED_HEADERS.flatMap((name) => (headers[name] === undefined ? [] : [[name, String(headers[name])]])),
  );
}

/** A call on its way through the simulator; each change of its state goes to the log. */
export class OpenCall {
  #record: CallRecord;
  #closed = false;

  constructor(
    readonly log: CallLog,
    readonly clock: SimulatorClock,
    known: Pick<CallRecord, 'id' | 'apiKey' | 'headers'>,
  ) {
    const at = new Date(clock.now()).toISOString();
    this.#record = {
      ...known,
      seq: log.nextSeq(),
      at,
      model: null,
      stream: false,
      requestHash: null,
      lastUserText: '',
      state: 'open',
      status: null,
      stopReason: null,
      errorType: null,
      fault: null,
      usage: NO_USAGE,
      answerChars: 0,
      startedAt: at,
      firstByteAt: null,
      finishedAt: null,
    };
  }

  get record(): CallRecord {
    return this.#record;
  }

  /** Notes what becomes known without writing to the log. */
  note(known: Partial<CallRecord>): void {
    this.#record = { ...this.#record, ...known };
  }

  usage(usage: Partial<CallUsage>): void {
    this.#record = { ...this.#record, usage: { ...this.#record.usage, ...usage } };
  }

  produced(tokens: number, chars: number): void {
    this.usage({ output_tokens: this.#record.usage.output_tokens + tokens });
    this.note({ answerChars: this.#record.answerChars + chars });
  }

  open(): void {
    this.log.put(this.#record);
  }

  firstByte(status: number): void {
    this.note({ status, firstByteAt: new Date(this.clock.now()).toISOString() });
    this.log.put(this.#record);
  }

  /** Ends the call; later ends are ignored, so that the first cause stands. */
  finish(state: Exclude<CallState, 'open'>, known: Partial<CallRecord> = {}): void {
    if (this.#closed) return;
    this.#closed = true;
    this.note({ ...known, state, finishedAt: new Date(this.clock.now()).toISOString() });
    this.log.put(this.#record);
  }

  /** A call whose last bytes were written but never left the machine did not succeed. */
  revoke(): void {
    if (this.#record.state !== 'succeeded') return;
    this.note({ state: 'aborted' });
    this.log.put(this.#record);
  }
}
