import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import type { temporal } from '@temporalio/proto';
import { HoldfastError } from '../contracts/errors.js';

export type History = temporal.api.history.v1.IHistory;

/** A history and what people call it: the id of its chain or the name of its file. */
export interface NamedHistory {
  readonly name: string;
  readonly history: History;
}

/** The files that a path stands for: itself, or the `.json` files of a folder. Undefined when there is no such path. */
export async function historyFiles(path: string): Promise<readonly string[] | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  if (!found.isDirectory()) return [path];
  const names = (await readdir(path)).filter((name) => name.endsWith('.json')).sort();
  if (names.length > 0) return names.map((name) => join(path, name));
  throw new HoldfastError(
    'INVALID_INPUT',
    `The folder ${path} has no histories.`,
    'Name one with .json files in it, as `holdfast history ID --save FILE` writes them.',
  );
}

/** Reads a saved history, of `holdfast history`, `temporal workflow show -o json` or Temporal's UI. Throws `INVALID_INPUT`. */
export async function readHistory(file: string): Promise<NamedHistory> {
  try {
    const history = historyFromJSON(JSON.parse(await readFile(file, 'utf8')));
    if (history.events?.[0]?.workflowExecutionStartedEventAttributes == null) {
      throw new TypeError('it does not begin with the start of a workflow');
    }
    const gap = history.events.findIndex(({ eventId }, index) => Number(eventId) !== index + 1);
    if (gap !== -1) throw new TypeError(`event ${gap + 1} is missing`);
    return { name: file, history };
  } catch (error) {
    throw new HoldfastError(
      'INVALID_INPUT',
      `${file} is no history of a workflow: ${error instanceof Error ? error.message : String(error)}.`,
      'Save one with `holdfast history ID --save FILE`, or download it as JSON from Temporal.',
      { cause: error },
    );
  }
}
