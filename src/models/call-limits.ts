import type { ModelCallOptions } from '../contracts/models.js';

/** A timer that is asked for more than it can hold fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Why a call was ended from this side. */
export type CallEnd = { readonly by: 'caller' } | { readonly by: 'timeout'; readonly message: string };

/**
 * What may end a call before its answer does: the caller, the time limit, or a stream that fell silent. The SDK's own
 * limit covers only the time to the headers; a silent stream would be waited for without end.
 */
export class CallLimits {
  /** Aborted when one of the limits is reached: the HTTP request hangs on it. */
  readonly controller = new AbortController();
  private readonly overall: NodeJS.Timeout;
  private idle: NodeJS.Timeout | undefined;
  private end: CallEnd | undefined;

  /** Throws the signal's reason when it is aborted already. */
  constructor(
    private readonly options: ModelCallOptions,
    private readonly idleTimeoutMs: number,
  ) {
    options.signal.throwIfAborted();
    options.signal.addEventListener('abort', this.onAbort, { once: true });
    this.overall = setTimeout(
      () => this.stop({ by: 'timeout', message: `The call took longer than ${options.timeoutMs} ms.` }),
      Math.min(options.timeoutMs, MAX_TIMER_MS),
    );
    this.awaitLife(idleTimeoutMs);
  }

  /** Undefined while no limit was reached. */
  get ended(): CallEnd | undefined {
    return this.end;
  }

  /** The stream has shown a sign of life. */
  alive(): void {
    this.awaitLife(this.idleTimeoutMs);
    this.options.onProgress?.();
  }

  /** Shortens the wait for the next sign of life, in milliseconds: nothing that matters is to come. */
  hurry(waitMs: number): void {
    this.awaitLife(Math.min(waitMs, this.idleTimeoutMs));
  }

  /** Stops watching and frees the connection, if it is still in use. */
  release(): void {
    clearTimeout(this.overall);
    clearTimeout(this.idle);
    this.options.signal.removeEventListener('abort', this.onAbort);
    this.controller.abort();
  }

  private readonly onAbort = (): void => this.stop({ by: 'caller' });

  private awaitLife(limitMs: number): void {
    clearTimeout(this.idle);
    this.idle = setTimeout(
      () => this.stop({ by: 'timeout', message: `The provider sent nothing for ${limitMs} ms.` }),
      Math.min(limitMs, MAX_TIMER_MS),
    );
  }

  private stop(end: CallEnd): void {
    this.end ??= end;
    this.controller.abort();
  }
}
