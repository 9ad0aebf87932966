import type { Store } from './database.js';

/** Something that hardly ever changes, read from the store at most once in a while, so that not every call asks for it. */
export class Remembered<Value> {
  private readonly known = new WeakMap<Store['pool'], { readonly at: number; readonly value: Promise<Value> }>();

  constructor(
    private readonly read: (store: Store) => Promise<Value>,
    /** How old it may be, in milliseconds. */
    private readonly maxAgeMs: number,
  ) {}

  /** What it was a moment ago. Rejects as reading does, and then reads anew the next time. */
  of(store: Store): Promise<Value> {
    const { pool } = store;
    const last = this.known.get(pool);
    if (last !== undefined && Date.now() - last.at < this.maxAgeMs) return last.value;
    const value = this.read(store);
    this.known.set(pool, { at: Date.now(), value });
    value.catch(() => this.forget(store));
    return value;
  }

  /** This process has changed it. */
  forget({ pool }: Store): void {
    this.known.delete(pool);
  }
}
