/** Requests to stop a process. */
export interface StopRequests {
  /** Ctrl-C, SIGTERM, or the end of the supervisor that started this process. */
  readonly requested: Promise<void>;
  /** A second one: somebody does not want to wait. */
  readonly again: Promise<void>;
  /** Aborted with the first request. */
  readonly signal: AbortSignal;
}

/** Listens for requests to stop, from now on and as long as the process lives. */
export function untilStopped(): StopRequests {
  const abort = new AbortController();
  let stopOnce = (): void => {};
  let stopAgain = (): void => {};
  const requested = new Promise<void>((resolve) => {
    stopOnce = resolve;
  });
  const again = new Promise<void>((resolve) => {
    stopAgain = resolve;
  });
  const stop = (): void => {
    if (abort.signal.aborted) stopAgain();
    abort.abort();
    stopOnce();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
  process.once('disconnect', stop);
  return { requested, again, signal: abort.signal };
}
