import { type Transaction as KyselyTransaction, sql } from 'kysely';
import type { HoldKind } from '../contracts/holds.js';
import type { Escalation, Notice, NoticeChannel, NoticeEvent } from '../contracts/notices.js';
import { type Store, storable } from './database.js';
import { addNote, assignHold } from './dead-letters.js';
import type { HoldScope } from './holds.js';
import type { Database } from './schema.js';

type Transaction = KyselyTransaction<Database>;

/** Of all processes one looks, and not more often than this, in seconds: what a look costs grows with what is held. */
const LOOK_EVERY_S = 4;

/** How many clusters one look takes up. */
const BATCH = 100;

/** Tenants that a notice names: the others would make it as long as the list of what is held. */
const NAMED_TENANTS = 20;

/** A cluster that has doubled is told again after so long, and one that has grown at all after so long, in seconds. */
const DOUBLED_S = 60;
const GROWN_S = 3_600;

/** A cluster that is to be told by one of the ways. Times are texts, because a `Date` would cut off microseconds. */
export interface DueNotice {
  readonly kind: HoldKind;
  readonly cluster: string;
  readonly channel: NoticeChannel;
  readonly event: Exclude<NoticeEvent, 'escalated'>;
  /** Of what was told of it before; null when nothing was. */
  readonly thread: string | null;
  readonly told_until: string | null;
  readonly count: number;
  readonly overdue: number;
  readonly last_seen: string;
}

/**
 * Runs `tell` with what is to be told now, in a transaction that one process has at a time; not at all when another one has
 * it, or had it just now. First it forgets the clusters of which nothing is open any more, so that they begin anew.
 */
export async function withDueNotices(
  { db }: Store,
  channels: readonly NoticeChannel[],
  deadlineMs: number,
  tell: (trx: Transaction, due: readonly DueNotice[]) => Promise<void>,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const { rows } = await sql`
      UPDATE notice_look SET looked_at = now() WHERE looked_at < now() - ${LOOK_EVERY_S} * interval '1 second'
      RETURNING true`.execute(trx);
    if (rows.length > 0) await tell(trx, await findDue(trx, channels, deadlineMs));
  });
}

async function findDue(
  trx: Transaction,
  channels: readonly NoticeChannel[],
  deadlineMs: number,
): Promise<readonly DueNotice[]> {
  const patience = sql`${deadlineMs}::float8 * interval '1 millisecond'`;
  const { rows } = await sql<DueNotice>`
    WITH waiting AS (
      SELECT kind, cluster, count(*) AS count, max(opened_at) AS last_seen, min(opened_at) AS first_seen,
        count(*) FILTER (WHERE late_at <= now()) AS overdue, max(late_at) FILTER (WHERE late_at <= now()) AS late_at
      FROM (
        SELECT kind, cluster, opened_at, opened_at + ${patience} AS late_at
          FROM hold WHERE kind = 'failure' AND decided_at IS NULL
        UNION ALL
        -- Its own deadline decides it without a person, so that half of that time is all that there is to wait.
        SELECT kind, 'approval:' || step, opened_at, least(opened_at + ${patience}, opened_at + (deadline - opened_at) / 2)
          FROM hold WHERE kind = 'approval' AND decided_at IS NULL
      ) open
      GROUP BY kind, cluster
    ), ended AS (
      DELETE FROM notice WHERE NOT EXISTS (SELECT FROM waiting WHERE waiting.cluster = notice.cluster)
    )
    SELECT w.kind, w.cluster, way.channel, n.thread, n.told_until::text, w.count, w.overdue, w.last_seen::text,
      CASE WHEN late THEN 'overdue' WHEN n.cluster IS NULL THEN 'opened' ELSE 'grown' END AS event
    FROM waiting w
    CROSS JOIN unnest(${channels}::text[]) AS way(channel)
    LEFT JOIN notice n ON n.cluster = w.cluster AND n.channel = way.channel
    CROSS JOIN LATERAL (SELECT w.late_at IS NOT NULL AND (n.overdue_at IS NULL
      OR w.late_at > n.overdue_at AND n.overdue_at <= now() - ${patience}) AS late) AS lateness
    WHERE (late OR n.cluster IS NULL OR w.last_seen > n.told_until AND (
        n.told_at <= now() - ${GROWN_S} * interval '1 second'
        OR w.count >= 2 * n.told_count AND n.told_at <= now() - ${DOUBLED_S} * interval '1 second'))
      AND NOT EXISTS (SELECT FROM notice_message m WHERE m.cluster = w.cluster AND m.channel = way.channel)
    ORDER BY w.first_seen LIMIT ${BATCH}`.execute(trx);
  return rows;
}

/** Writes that a cluster is told now, and the message; null when there turned out to be nothing to tell. */
export async function putNotice(
  trx: Transaction,
  due: DueNotice,
  thread: string,
  notice: Notice | null,
): Promise<void> {
  const { cluster, channel } = due;
  const told = {
    told_count: due.count,
    told_at: sql<Date>`now()`,
    told_until: sql<Date>`${due.last_seen}::timestamptz`,
    ...(due.event === 'overdue' ? { overdue_at: sql<Date>`now()` } : {}),
  };
  await trx
    .insertInto('notice')
    .values({ cluster, channel, thread, ...told })
    .onConflict((conflict) => conflict.columns(['cluster', 'channel']).doUpdateSet(told))
    .execute();
  if (notice !== null) await putMessage(trx, channel, cluster, notice);
}

async function putMessage(
  trx: Transaction,
  channel: NoticeChannel,
  cluster: string | null,
  notice: Notice,
): Promise<void> {
  await trx
    .insertInto('notice_message')
    .values({ id: notice.id, channel, cluster, body: JSON.stringify(notice) })
    .execute();
}

/** What is known of the open holds of one cluster, or undefined when none is left. */
export async function summarizeCluster(
  { db }: Pick<Store, 'db'>,
  { kind, cluster, told_until }: Pick<DueNotice, 'kind' | 'cluster' | 'told_until'>,
) {
  const key = kind === 'approval' ? sql`h.step = ${cluster.slice('approval:'.length)}` : sql`h.cluster = ${cluster}`;
  const { rows } = await sql<ClusterSummary>`
    WITH letter AS (
      SELECT h.chain_id, h.id AS hold_id, h.reason, h.step, h.model, h.pattern, h.suggested_action, h.opened_at, c.tenant
      FROM hold h JOIN chain c ON c.id = h.chain_id AND c.first_run_id = h.first_run_id AND c.closed_at IS NULL
      WHERE h.kind = ${kind} AND h.decided_at IS NULL AND ${key})
    SELECT * FROM (
      SELECT count(*) AS count, count(*) FILTER (WHERE opened_at > coalesce(${told_until}::timestamptz, '-infinity')) AS new_since,
        min(opened_at) AS first_seen, max(opened_at) AS last_seen, count(DISTINCT tenant) AS tenant_count,
        (array_agg(DISTINCT tenant ORDER BY tenant))[1:${sql.lit(NAMED_TENANTS)}] AS tenants
      FROM letter) totals
    CROSS JOIN (SELECT * FROM letter ORDER BY opened_at DESC LIMIT 1) latest`.execute(db);
  return rows[0];
}

export interface ClusterSummary {
  readonly chain_id: string;
  readonly hold_id: string;
  readonly reason: string;
  readonly step: string;
  readonly model: string | null;
  readonly pattern: string;
  readonly suggested_action: string | null;
  readonly count: number;
  readonly new_since: number;
  readonly first_seen: Date;
  readonly last_seen: Date;
  readonly tenants: readonly string[];
  readonly tenant_count: number;
}

/** The thread of what was told of a cluster, or undefined. */
export async function findThread({ db }: Store, cluster: string, channel: NoticeChannel): Promise<string | undefined> {
  const row = await db
    .selectFrom('notice')
    .select('thread')
    .where('cluster', '=', cluster)
    .where('channel', '=', channel)
    .executeTakeFirst();
  return row?.thread;
}

/** Hands a hold on: who looks after it, the note and the messages are there together or not at all. */
export async function escalateHold(
  store: Store,
  scope: HoldScope,
  holdId: string,
  { to, by, note }: Escalation,
  messages: readonly (readonly [NoticeChannel, Notice])[],
): Promise<void> {
  await store.db.transaction().execute(async (trx) => {
    const inside = { ...store, db: trx };
    await assignHold(inside, scope, holdId, to);
    await addNote(inside, scope, holdId, { by, text: `Escalated to ${to}: ${note}` });
    for (const [channel, notice] of messages) await putMessage(trx, channel, null, notice);
  });
}

/** When a message is tried again: after so long, and twice as long each time up to the other, in seconds. */
const RETRY_S = 30;
const MAX_RETRY_S = 3_600;

export interface WaitingMessage {
  readonly id: string;
  readonly tries: number;
  readonly notice: Notice;
  /** When it is tried again, in seconds. */
  readonly retryS: number;
}

/**
 * Messages that are to be sent now, for one process to send: it puts them off first, and whoever dies with one has lost
 * nothing. What was sent is to be ended; all else comes again.
 */
export async function takeMessages({ db }: Store, channel: NoticeChannel, limit: number): Promise<WaitingMessage[]> {
  const { rows } = await sql<{ id: string; body: string; tries: number; retry_s: number }>`
    UPDATE notice_message m SET tries = m.tries + 1, next_try_at = now() + retry_s * interval '1 second'
    FROM (
      SELECT id, least(${MAX_RETRY_S}, ${RETRY_S} * power(2, least(tries, 20))) AS retry_s FROM notice_message
      WHERE channel = ${channel} AND next_try_at <= now()
      ORDER BY next_try_at LIMIT ${limit} FOR UPDATE SKIP LOCKED) due
    WHERE m.id = due.id
    RETURNING m.id, m.body, m.tries, due.retry_s`.execute(db);
  return rows.map(({ id, body, tries, retry_s }) => {
    return { id, tries, notice: JSON.parse(body) as Notice, retryS: Number(retry_s) };
  });
}

/** Ends a message that has arrived. */
export async function endMessage({ db }: Store, id: string): Promise<void> {
  await db.deleteFrom('notice_message').where('id', '=', id).execute();
}

/** Keeps why a message has not arrived. */
export async function noteMessageError({ db }: Store, id: string, error: string): Promise<void> {
  await db
    .updateTable('notice_message')
    .set({ last_error: storable(error) })
    .where('id', '=', id)
    .execute();
}

/** Messages that have been tried and have not arrived, by the way, with the latest error. */
export function listUndelivered({ db }: Store) {
  return db
    .selectFrom('notice_message')
    .select(['channel'])
    .select(({ fn }) => [
      fn.countAll<number>().as('count'),
      fn.min('written_at').as('since'),
      sql<string>`(array_agg(last_error ORDER BY next_try_at DESC))[1]`.as('last_error'),
    ])
    .where('last_error', 'is not', null)
    .groupBy('channel')
    .orderBy('channel')
    .execute();
}
