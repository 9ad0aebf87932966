/** Work that a process does again and again beside its own. */
export interface Repeated {
  /** Ends after what is being done now. */
  stop(): Promise<void>;
}

/**
 * Runs `once`, and again so long after each end. It goes on whatever `once` throws. What is wrong, thrown or told to
 * `complain`, is said once and not each time; again when it has been mended in between.
 */
export function repeat(
  name: string,
  intervalMs: number,
  log: (message: string) => void,
  once: (signal: AbortSignal, complain: (problem: string) => void) => Promise<void>,
): Repeated {
  const stopping = new AbortController();
  let wake = (): void => {};
  let complaints = new Set<string>();
  let earlier = new Set<string>();

  function complain(problem: string): void {
    complaints.add(problem);
    if (!earlier.has(problem)) log(`${name}: ${problem}; it goes on trying`);
  }

  const loop = (async () => {
    while (!stopping.signal.aborted) {
      earlier = complaints;
      complaints = new Set();
      try {
        await once(stopping.signal, complain);
      } catch (error) {
        // The store or Temporal is away.
        complain(error instanceof Error ? error.message : String(error));
      }
      if (stopping.signal.aborted) break;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, intervalMs);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  })();

  return {
    stop: async () => {
      stopping.abort();
      wake();
      await loop;
    },
  };
}
