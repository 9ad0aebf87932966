import { Migrator, sql } from 'kysely';
import { afterEach, describe, expect, test } from 'vitest';
import { findChain, insertChain } from '../../src/store/chains.js';
import { openStore, type Store } from '../../src/store/database.js';
import { MIGRATIONS, migrate, readSchema } from '../../src/store/migrate.js';
import { createDatabase } from '../support/database.js';

const stores: Store[] = [];
afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

function open(url: string): Store {
  const store = openStore(url);
  stores.push(store);
  return store;
}

const CHAIN = { type: 'c', tenant: 't', priority: 'normal', input: '{}' } as const;

describe('migrations', () => {
  test('of several processes at once are done once, and a second time do nothing', async () => {
    const url = await createDatabase();
    const several = [open(url), open(url), open(url), open(url)];
    await Promise.all(several.map(migrate));
    const store = several[0] as Store;
    expect(await readSchema(store)).toEqual({ missing: [], unknown: [] });
    await insertChain(store, { ...CHAIN, contentHash: 'h' });
    await migrate(store);
    expect(await store.db.selectFrom('chain').select('id').execute()).toHaveLength(1);
  });

  test('of a newer version are told, and a process that runs goes on beside one that only added something', async () => {
    const store = open(await createDatabase());
    await migrate(store);
    const { row } = await insertChain(store, { ...CHAIN, contentHash: 'h' });
    // What the next version may do: a column that this one does not know, with a default.
    await sql`ALTER TABLE chain ADD COLUMN of_the_future text NOT NULL DEFAULT 'x'`.execute(store.db);
    await sql`INSERT INTO kysely_migration (name, timestamp) VALUES ('9999-future', now()::text)`.execute(store.db);
    expect(await readSchema(store)).toEqual({ missing: [], unknown: ['9999-future'] });
    await expect(migrate(store)).rejects.toMatchObject({ code: 'SCHEMA_VERSION' });
    expect(await findChain(store, row.id)).toMatchObject({ id: row.id });
    expect(await insertChain(store, { ...CHAIN, contentHash: 'other' })).toMatchObject({ duplicate: false });
  });

  test('go on beside a process that writes', async () => {
    const store = open(await createDatabase());
    const migrator = new Migrator({ db: store.db, provider: { getMigrations: async () => MIGRATIONS } });
    expect((await migrator.migrateTo('0004-changes')).error).toBeUndefined();
    // As that version writes.
    const common = { ...CHAIN, state: 'queued', content_slot: true } as const;
    let migrating = true;
    const writing = (async () => {
      let written = 0;
      while (migrating || written === 0) {
        const id = `c-${written}`;
        await store.db
          .insertInto('chain')
          .values({ ...common, id, content_hash: id })
          .execute();
        written += 1;
      }
      return written;
    })();
    await migrate(store);
    migrating = false;
    const written = await writing;
    expect(await store.db.selectFrom('chain').select('start_at').execute()).toHaveLength(written);
  });
});
