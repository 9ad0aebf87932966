/** Ctrl-C, SIGTERM, or the end of the supervisor that started this process: one request to stop. */
export function untilStopped(): { readonly requested: Promise<void>; readonly signal: AbortSignal } {
  const abort = new AbortController();
  const requested = new Promise<void>((resolve) => {
    const stop = (): void => {
      abort.abort();
      resolve();
    };
    process.once('SIGINT', stop);
    process.once('SIGTERM', stop);
    process.once('disconnect', stop);
  });
  return { requested, signal: abort.signal };
}
