import type { RunningPart } from './processes.js';
import { pause } from './waiting.js';

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 10_000;
/** A part that ran this long was well: its next death starts with the shortest delay again. */
const WELL_AFTER_MS = 30_000;

/** A part that is started again whenever it dies, until it is stopped. */
export class KeptPart<Part extends RunningPart> {
  #current: Part | null = null;
  #delayMs = FIRST_DELAY_MS;
  readonly #stopping = new AbortController();
  #keeping: Promise<void> = Promise.resolve();

  /** @param start gets a signal that is aborted by {@link stop} */
  constructor(
    readonly name: string,
    private readonly begin: (signal: AbortSignal) => Promise<Part>,
    private readonly onChange: () => void,
    private readonly log: (line: string) => void,
  ) {}

  /** Null while it is down. */
  get current(): Part | null {
    return this.#current;
  }

  /** The first start; what goes wrong there goes to the caller, who can still correct it. */
  async start(): Promise<Part> {
    const part = await this.begin(this.#stopping.signal);
    this.#current = part;
    this.#keeping = this.#keep(part);
    return part;
  }

  /** From now on it is not started again; cuts a start short. */
  retire(): void {
    this.#stopping.abort(new Error(`${this.name} is being stopped`));
  }

  /** Resolves when it is gone for good. */
  async stop(): Promise<void> {
    this.retire();
    await this.#current?.stop();
    await this.#keeping;
  }

  async #keep(first: Part): Promise<void> {
    const { signal } = this.#stopping;
    for (let part: Part | null = first; part; ) {
      const startedAt = Date.now();
      const { cause } = await part.exited;
      this.#current = null;
      if (signal.aborted) return;
      if (Date.now() - startedAt >= WELL_AFTER_MS) this.#delayMs = FIRST_DELAY_MS;
      this.log(`${this.name} died (${cause}); starting it again in ${this.#delayMs} ms.`);
      this.onChange();
      part = await this.#restart(signal);
    }
  }

  async #restart(signal: AbortSignal): Promise<Part | null> {
    for (;;) {
      await pause(this.#delayMs, signal);
      this.#delayMs = Math.min(this.#delayMs * 2, LONGEST_DELAY_MS);
      if (signal.aborted) return null;
      try {
        const part = await this.begin(signal);
        this.#current = part;
        if (signal.aborted) {
          await part.stop();
          this.#current = null;
          return null;
        }
        this.log(`${this.name} runs again (process ${part.pid}).`);
        this.onChange();
        return part;
      } catch (error) {
        if (signal.aborted) return null;
        const reason = error instanceof Error ? error.message : String(error);
        this.log(`${this.name} could not be started again, next try in ${this.#delayMs} ms: ${reason}`);
      }
    }
  }
}
