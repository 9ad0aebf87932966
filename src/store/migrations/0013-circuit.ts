import { type Kysely, sql } from 'kysely';

/** Steps whose calls fail permanently, one after another: until one succeeds, only one at a time is made. */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql
    .raw(`CREATE TABLE circuit (
      step text NOT NULL,
      model text NOT NULL,
      reason text NOT NULL,
      message text NOT NULL,
      opened_at timestamptz NOT NULL DEFAULT now(),
      probe text,
      probed_at timestamptz NOT NULL DEFAULT now(),
      closed_after bigint,
      PRIMARY KEY (step, model)
    )`)
    .execute(database);
}
