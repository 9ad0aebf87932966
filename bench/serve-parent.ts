export type Stop = () => Promise<void>;

/** Runs something as a child of the benchmark: started with its settings, asked for its usage and ended by messages. */
export function serveParent<Settings>(start: (settings: Settings) => Promise<Stop>): void {
  let stop: Stop = async () => {};

  async function receive(message: { type: 'start'; settings: Settings } | { type: 'usage' }): Promise<void> {
    if (message.type === 'start') {
      stop = await start(message.settings);
      process.send?.({ type: 'ready' });
      return;
    }
    globalThis.gc?.();
    const { user, system } = process.cpuUsage();
    process.send?.({ type: 'usage', rssBytes: process.memoryUsage.rss(), cpuMs: (user + system) / 1_000 });
  }

  /** Also when the benchmark itself has died. */
  async function end(): Promise<void> {
    await stop();
    process.exit();
  }

  process.on('message', receive);
  process.once('SIGTERM', end);
  process.once('disconnect', end);
}
