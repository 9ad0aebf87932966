import { join } from 'node:path';
import { findFreePort, isPortFree, requireFreePort } from './ports.js';
import { readJson, writeJson } from './stack-files.js';

export interface StackPorts {
  readonly temporal: number;
  readonly ui: number;
  readonly postgres: number;
  readonly model: number;
  readonly http: number;
}

/** Temporal's own defaults; PostgreSQL one above its default, which a system's server often has. */
const PREFERRED: StackPorts = { temporal: 7233, ui: 8233, postgres: 5433, model: 8787, http: 7400 };

const LABELS: Readonly<Record<keyof StackPorts, string>> = {
  temporal: "Temporal's frontend",
  ui: "Temporal's web UI",
  postgres: 'PostgreSQL',
  model: 'the simulated Claude',
  http: 'the HTTP API',
};

/**
 * Ports for the parts that are needed. A named port must be free; otherwise the ones of the previous run are taken
 * again, so that links into Temporal's UI stay valid, or the preferred ones, or what the system gives.
 * @throws HoldfastError `PORT_IN_USE` for a named port
 */
export async function choosePorts(
  directory: string,
  needed: readonly (keyof StackPorts)[],
  named: Partial<StackPorts>,
  log: (line: string) => void,
): Promise<StackPorts> {
  const file = join(directory, 'ports.json');
  const previous = (readJson(file) ?? {}) as Partial<StackPorts>;
  const chosen = { ...PREFERRED, ...previous };
  for (const part of needed) chosen[part] = named[part] ?? chosen[part];
  const taken = new Set<number>();
  for (const part of needed) if (named[part] !== undefined) taken.add(named[part]);
  for (const part of needed) {
    if (named[part] !== undefined) {
      await requireFreePort(
        chosen[part],
        LABELS[part],
        'Stop the program that listens there, or name another port; without a named port a free one is chosen.',
      );
      continue;
    }
    if (!taken.has(chosen[part]) && (await isPortFree(chosen[part]))) {
      taken.add(chosen[part]);
      continue;
    }
    do chosen[part] = await findFreePort();
    while (taken.has(chosen[part]));
    taken.add(chosen[part]);
    if (previous[part] !== undefined) {
      log(`Port ${previous[part]} of ${LABELS[part]} is in use by another program; using ${chosen[part]} from now on.`);
    }
  }
  writeJson(file, { ...previous, ...Object.fromEntries(needed.map((part) => [part, chosen[part]])) });
  return chosen;
}
