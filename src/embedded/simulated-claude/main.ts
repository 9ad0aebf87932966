import { type SimulatedClaude, startSimulatedClaude } from './server.js';
import type { SimulatedClaudeOptions } from './types.js';

/** What the process tells its parent once it serves. */
export interface SimulatedClaudeReady {
  readonly type: 'ready';
  readonly url: string;
}

/**
 * Runs the simulated Claude as a process: tells the parent when it serves, and ends on SIGTERM, SIGINT, or when the
 * parent's IPC channel closes, so that a killed parent leaves nothing behind. Resolves when it has stopped.
 * `onReady` is called with the running simulator. Throws {@link HoldfastError} `PORT_IN_USE`.
 */
export async function runSimulatedClaude(
  options: SimulatedClaudeOptions = {},
  onReady: (simulator: SimulatedClaude) => void = () => {},
): Promise<void> {
  const simulator = await startSimulatedClaude(options);
  await new Promise<void>((resolve) => {
    const stop = () => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.removeListener(signal, stop);
      process.removeListener('disconnect', stop);
      resolve();
    };
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, stop);
    process.on('disconnect', stop);
    const ready: SimulatedClaudeReady = { type: 'ready', url: simulator.url };
    process.send?.(ready);
    onReady(simulator);
  });
  await simulator.stop();
}
