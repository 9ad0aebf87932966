import { setTimeout as pause } from 'node:timers/promises';
import type { Connection } from '@temporalio/client';
import proto from '@temporalio/proto';
import { SEARCH_ATTRIBUTES } from '../contracts/search-attributes.js';

const { IndexedValueType } = proto.temporal.api.enums.v1;
const VALUE_TYPES = {
  KEYWORD: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
  KEYWORD_LIST: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
} as const;

const INVALID_ARGUMENT = 3;

// PERMISSION_DENIED, UNIMPLEMENTED and UNAUTHENTICATED, as in the gRPC specification.
const NOT_FOR_US: readonly number[] = [7, 12, 16];

/** A server of a Temporal cluster looks for new attributes every 2 seconds. */
const KNOWN_WITHIN_MS = 30_000;

/**
 * Registers Holdfast's search attributes in a namespace, and resolves when Temporal knows them: until then it would refuse
 * to start a chain. Those that exist stay: safe to call at every start. Where a worker may not do that (Temporal Cloud, a
 * locked-down cluster) it says which must exist, and goes on.
 */
export async function registerSearchAttributes(
  connection: Connection,
  namespace: string,
  log: (message: string) => void,
): Promise<void> {
  const attributes = Object.values(SEARCH_ATTRIBUTES);
  try {
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(attributes.map(({ name, type }) => [name, VALUE_TYPES[type]])),
    });
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (!NOT_FOR_US.includes(code as number)) throw error;
    const list = attributes.map(({ name, type }) => `${name} (${type === 'KEYWORD' ? 'Keyword' : 'KeywordList'})`);
    const why = error instanceof Error ? error.message : String(error);
    log(`Search attributes cannot be registered here (${why}). These must exist in ${namespace}: ${list.join(', ')}.`);
    return;
  }
  await untilKnown(connection, namespace);
}

async function untilKnown(connection: Connection, namespace: string): Promise<void> {
  const query = Object.values(SEARCH_ATTRIBUTES)
    .map(({ name }) => `${name} = 'any'`)
    .join(' OR ');
  const deadline = Date.now() + KNOWN_WITHIN_MS;
  for (;;) {
    try {
      await connection.workflowService.countWorkflowExecutions({ namespace, query });
      return;
    } catch (error) {
      const { code } = error as { code?: unknown };
      // A server that cannot count, as the time-skipping one, keeps nobody waiting.
      if (NOT_FOR_US.includes(code as number)) return;
      if (code !== INVALID_ARGUMENT || Date.now() > deadline) throw error;
      await pause(100);
    }
  }
}
