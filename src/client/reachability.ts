import { HoldfastError } from '../contracts/errors.js';

/** Remembers for a while that Temporal is away, so that not each of many submissions waits for it in vain. */
export class Reachability {
  private lost: { readonly error: HoldfastError; readonly until: number } | undefined;

  constructor(private readonly restMs: number) {}

  check(): void {
    if (this.lost !== undefined && Date.now() < this.lost.until) throw this.lost.error;
  }

  note(error: unknown): void {
    if (!(error instanceof HoldfastError) || error.code !== 'TEMPORAL_UNREACHABLE' || error === this.lost?.error)
      return;
    this.lost = { error, until: Date.now() + this.restMs };
  }
}
