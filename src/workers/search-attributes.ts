import type { Connection } from '@temporalio/client';
import proto from '@temporalio/proto';
import { SEARCH_ATTRIBUTES } from '../contracts/search-attributes.js';

const { IndexedValueType } = proto.temporal.api.enums.v1;
const VALUE_TYPES = {
  KEYWORD: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
  KEYWORD_LIST: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
} as const;

// PERMISSION_DENIED, UNIMPLEMENTED and UNAUTHENTICATED, as in the gRPC specification.
const NOT_FOR_US: readonly number[] = [7, 12, 16];

/**
 * Registers Holdfast's search attributes in a namespace. Those that exist stay: safe to call at every start. Where a worker
 * may not do that (Temporal Cloud, a locked-down cluster) it says which must exist, and goes on.
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
  }
}
