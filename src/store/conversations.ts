import { sql } from 'kysely';
import type { Turn } from '../contracts/models.js';
import { addressOf, IS_STALE, touchBlobs } from './blobs.js';
import type { Store } from './database.js';

/** A turn as it is stored: its bytes name its parent, so its address names the whole conversation up to it. */
interface StoredTurn extends Turn {
  readonly parent: string | null;
}

/** Where the parent's address begins in the bytes of a turn, from 1. */
const ADDRESS_AT = sql.lit('{"parent":"'.length + 1);

/** The bytes and addresses of turns that go on from `parent`, in order. */
export function encodeTurns(
  parent: string | undefined,
  turns: readonly Turn[],
): { readonly bytes: Buffer[]; readonly last: string } {
  const bytes: Buffer[] = [];
  let last = parent ?? null;
  for (const { role, content } of turns) {
    const turn: StoredTurn = { parent: last, role, content };
    const encoded = Buffer.from(JSON.stringify(turn), 'utf8');
    bytes.push(encoded);
    last = addressOf(encoded);
  }
  if (last === null) throw new Error('A conversation needs a turn.');
  return { bytes, last };
}

/**
 * All turns of the conversation that ends with the turn at `address`, first one first; null when one is missing. They
 * count as in use again: the chain that goes on from them need not be the one that wrote them.
 */
export async function readConversation(store: Store, tenant: string, address: string): Promise<Turn[] | null> {
  // The parent's address stands at a fixed place in the bytes. Reading it as jsonb would fail on text with \u0000.
  const { rows } = await sql<{ address: string; bytes: Buffer; depth: number; stale: boolean }>`
    WITH RECURSIVE turn AS (
      SELECT address, bytes, ${IS_STALE} AS stale, 0 AS depth FROM blob WHERE tenant = ${tenant} AND address = ${address}
      UNION ALL
      SELECT blob.address, blob.bytes, ${IS_STALE}, turn.depth + 1
      FROM turn JOIN blob ON blob.tenant = ${tenant}
        AND blob.address = encode(substring(turn.bytes FROM ${ADDRESS_AT} FOR 64), 'escape')
    )
    SELECT address, bytes, stale, depth FROM turn ORDER BY depth DESC`.execute(store.db);
  const stale = rows.filter((row) => row.stale).map((row) => row.address);
  if (stale.length > 0) await touchBlobs(store, tenant, stale);
  const turns = rows.map((row) => JSON.parse(row.bytes.toString('utf8')) as StoredTurn);
  if (turns[0] === undefined || turns[0].parent !== null) return null;
  return turns.map(({ role, content }) => ({ role, content }));
}
