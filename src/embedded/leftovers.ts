import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { identifyProcess, isRunning, type OnSpawn, type ProcessIdentity, signalProcess } from './processes.js';
import { readJson, writeJson } from './stack-files.js';
import { until } from './waiting.js';

interface Child extends ProcessIdentity {
  readonly stopSignal: NodeJS.Signals;
}

/** The list of a stack's children on disk, for the next start after a kill -9 of their supervisor. */
export class ChildList {
  readonly #file: string;
  readonly #children = new Map<number, Child>();

  constructor(directory: string) {
    this.#file = join(directory, 'children.json');
  }

  readonly add: OnSpawn = ({ pid, stopSignal, exited }) => {
    const identity = identifyProcess(pid);
    if (!identity) return;
    this.#children.set(pid, { ...identity, stopSignal });
    this.#write();
    void exited.then(() => {
      this.#children.delete(pid);
      this.#write();
    });
  };

  clear(): void {
    this.#children.clear();
    rmSync(this.#file, { force: true });
  }

  /**
   * Ends the children that an earlier supervisor left behind, and waits until they are gone: they hold ports and data.
   * The watchdog has usually done so already; it may have been killed too.
   */
  async endLeftovers(log: (line: string) => void, signal?: AbortSignal): Promise<void> {
    const known = (readJson(this.#file) as Child[] | null) ?? [];
    const left = () => known.filter((child) => isRunning(child));
    if (left().length > 0) {
      log(`Ending what an earlier run left behind: processes ${left().map(({ pid }) => pid)}.`);
      for (const { pid, stopSignal } of left()) signalProcess(pid, stopSignal);
      const gone = () => (left().length === 0 ? true : undefined);
      if (!(await until(gone, { timeoutMs: 6_000, signal }))) {
        for (const { pid } of left()) signalProcess(pid, 'SIGKILL');
        await until(gone, { timeoutMs: 4_000, signal });
      }
    }
    this.clear();
  }

  #write(): void {
    if (this.#children.size === 0) rmSync(this.#file, { force: true });
    else writeJson(this.#file, [...this.#children.values()]);
  }
}
