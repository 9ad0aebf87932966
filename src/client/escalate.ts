import { randomUUID } from 'node:crypto';
import type { DeadLetter } from '../contracts/dead-letters.js';
import { HoldfastError } from '../contracts/errors.js';
import type { Escalation, NoticeChannel } from '../contracts/notices.js';
import { composeNotice } from '../notices/compose.js';
import type { ChainHead } from '../store/chains.js';
import type { Store } from '../store/database.js';
import { escalateHold, findThread, summarizeCluster } from '../store/notices.js';
import { oneOpen, summaryOf } from './read-dead-letters.js';

export interface EscalateResult {
  readonly deadLetter: DeadLetter;
  /** The ways by which a worker tells it within seconds; none when none is configured. */
  readonly toldBy: readonly NoticeChannel[];
}

/**
 * Hands the dead letter of a chain on: somebody else looks after it, the note says who did it and why, and people are told
 * by the ways that are configured. Throws `INVALID_INPUT` when one of the three is missing, and as `readDeadLetter` does.
 */
export async function escalate(
  store: Store,
  head: ChainHead,
  escalation: Escalation,
  channels: readonly NoticeChannel[],
  holdId?: string,
): Promise<EscalateResult> {
  for (const [name, value] of Object.entries(REQUIRED)) {
    if (escalation[name as keyof Escalation].trim() !== '') continue;
    throw new HoldfastError('INVALID_INPUT', `An escalation does not say ${value}.`, 'Say to whom, by whom and why.');
  }
  const row = await oneOpen(store, head, holdId);
  const occasion = { event: 'escalated', kind: 'failure', cluster: row.cluster, overdue: 0, escalation } as const;
  const summary = await summarizeCluster(store, { ...occasion, told_until: null });
  if (summary === undefined) throw new HoldfastError('NOT_HELD', `${row.chain_id} is decided.`, 'See its status.');
  const sample = { id: row.chain_id, hold: row.id };
  const messages = await Promise.all(
    channels.map(async (channel) => {
      const id = randomUUID();
      const thread = (await findThread(store, row.cluster, channel)) ?? id;
      return [channel, composeNotice({ ...summary, new_since: 0 }, { ...occasion, id, thread, sample })] as const;
    }),
  );
  await escalateHold(store, { chainId: row.chain_id, firstRunId: row.first_run_id }, row.id, escalation, messages);
  return { deadLetter: summaryOf({ ...row, assignee: escalation.to }), toldBy: channels };
}

const REQUIRED = { to: 'to whom', by: 'by whom', note: 'why' } as const satisfies Record<keyof Escalation, string>;
