import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { CallRecord, CallUsage } from './types.js';

type Predicate = (call: CallRecord) => boolean;

/** Reads a log file: each call in its last known state, oldest first. A line cut off by a kill is passed over. */
export function readCallLog(file: string): CallRecord[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const calls = new Map<string, CallRecord>();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    try {
      const call = JSON.parse(line) as CallRecord;
      calls.set(call.id, call);
    } catch {
      // Only the end of a killed process's last line; the call stays in the state that it had before.
    }
  }
  return [...calls.values()];
}

/** The tokens of all successful calls. */
export function totalUsage(calls: readonly CallRecord[]): CallUsage & { readonly calls: number } {
  const succeeded = calls.filter((call) => call.state === 'succeeded');
  const sum = (pick: (usage: CallUsage) => number) => succeeded.reduce((total, call) => total + pick(call.usage), 0);
  return {
    calls: succeeded.length,
    input_tokens: sum((usage) => usage.input_tokens),
    output_tokens: sum((usage) => usage.output_tokens),
    cache_creation_input_tokens: sum((usage) => usage.cache_creation_input_tokens),
    cache_read_input_tokens: sum((usage) => usage.cache_read_input_tokens),
    cache_creation: {
      ephemeral_5m_input_tokens: sum((usage) => usage.cache_creation.ephemeral_5m_input_tokens),
      ephemeral_1h_input_tokens: sum((usage) => usage.cache_creation.ephemeral_1h_input_tokens),
    },
  };
}

/** All calls in memory, and on disk if a file is named. */
export class CallLog {
  readonly #calls = new Map<string, CallRecord>();
  readonly #waiters = new Set<{ readonly predicate: Predicate; readonly resolve: (call: CallRecord) => void }>();
  readonly #size: number;
  #file: number | null = null;
  #seq = 0;

  constructor(size: number, file?: string) {
    this.#size = size;
    if (file === undefined) return;
    mkdirSync(dirname(file), { recursive: true });
    const earlier = readCallLog(file);
    this.#file = openSync(file, 'a');
    // The last line of a killed simulator may lack its end; without this the next record would be glued to it.
    if (earlier.length > 0) writeSync(this.#file, '\n');
    for (const call of earlier.slice(-size)) {
      this.#seq = Math.max(this.#seq, call.seq);
      // Its connection died with the process that served it.
      this.#calls.set(call.id, call.state === 'open' ? { ...call, state: 'aborted' } : call);
    }
  }

  nextSeq(): number {
    return ++this.#seq;
  }

  /** Adds a call or replaces it by its new state. */
  put(call: CallRecord): void {
    this.#calls.set(call.id, call);
    // Synchronous on purpose: what a client saw must be in the file even if the process is killed right after.
    if (this.#file !== null) writeSync(this.#file, `${JSON.stringify(call)}\n`);
    this.#trim();
    for (const waiter of [...this.#waiters]) {
      if (!waiter.predicate(call)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(call);
    }
  }

  list(): CallRecord[] {
    return [...this.#calls.values()];
  }

  get lastSeq(): number {
    return this.#seq;
  }

  clear(): void {
    for (const call of this.#calls.values()) if (call.state !== 'open') this.#calls.delete(call.id);
  }

  /** The first call, past or future, for which `predicate` holds. Rejects with the reason of `signal` when aborted. */
  waitFor(predicate: Predicate, signal?: AbortSignal): Promise<CallRecord> {
    const known = this.list().find(predicate);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const onAbort = () => {
        this.#waiters.delete(waiter);
        reject(signal?.reason);
      };
      const waiter = {
        predicate,
        resolve: (call: CallRecord) => {
          signal?.removeEventListener('abort', onAbort);
          resolve(call);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiters.add(waiter);
    });
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }

  #trim(): void {
    if (this.#calls.size <= this.#size) return;
    for (const call of this.#calls.values()) {
      if (this.#calls.size <= this.#size) return;
      if (call.state !== 'open') this.#calls.delete(call.id);
    }
  }
}
