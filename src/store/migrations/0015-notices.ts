import { type Kysely, sql } from 'kysely';

/**
 * What people were told of holds that wait for them, a row for each cluster and way, and the messages that are on their
 * way. Nothing of it is written when a hold opens: what is to be told is seen in the holds themselves.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(database);
}

const STATEMENTS = [
  // Counted every few seconds, so that the indexes have all that is counted. The first one serves the earlier one's queries too.
  `CREATE INDEX hold_open_failure ON hold (cluster, opened_at) WHERE kind = 'failure' AND decided_at IS NULL`,
  `DROP INDEX hold_dead_letter_cluster`,
  `CREATE INDEX hold_open_approval ON hold (step, opened_at, deadline) WHERE kind = 'approval' AND decided_at IS NULL`,
  // When somebody counted last. One row: its lock is also what lets one process count at a time.
  `CREATE TABLE notice_look (looked_at timestamptz NOT NULL)`,
  `INSERT INTO notice_look VALUES ('-infinity')`,
  `CREATE TABLE notice (
     cluster text NOT NULL,
     channel text NOT NULL,
     thread uuid NOT NULL,
     told_count bigint NOT NULL,
     told_at timestamptz NOT NULL DEFAULT now(),
     told_until timestamptz NOT NULL,
     overdue_at timestamptz,
     PRIMARY KEY (cluster, channel)
   )`,
  // One at a time for each cluster and way, so that a receiver who was away for a day is told once and not of each growth.
  // It goes with its cluster: nobody needs to hear of what has been decided meanwhile.
  `CREATE TABLE notice_message (
     id uuid PRIMARY KEY,
     channel text NOT NULL,
     cluster text,
     body text NOT NULL,
     written_at timestamptz NOT NULL DEFAULT now(),
     tries integer NOT NULL DEFAULT 0,
     next_try_at timestamptz NOT NULL DEFAULT now(),
     last_error text,
     UNIQUE (cluster, channel),
     FOREIGN KEY (cluster, channel) REFERENCES notice ON DELETE CASCADE
   )`,
  `CREATE INDEX notice_message_due ON notice_message (channel, next_try_at)`,
];
