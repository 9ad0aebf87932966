import { randomUUID } from 'node:crypto';
import { channelsOf, type NotifyConfig } from '../contracts/notices.js';
import type { Store } from '../store/database.js';
import { putNotice, summarizeCluster, withDueNotices } from '../store/notices.js';
import { composeNotice } from './compose.js';

/**
 * Looks for what people are to be told of the holds that wait for them, and writes the messages. Told is a cluster: at
 * once when it begins, then when it has doubled, or hourly when it has grown; and once per deadline when some of it is
 * overdue. While a message of a cluster is on its way no other one is written for the same receiver.
 */
export async function announceHolds(store: Store, notify: NotifyConfig): Promise<void> {
  await withDueNotices(store, channelsOf(notify), notify.deadlineMs, async (trx, due) => {
    for (const one of due) {
      const id = randomUUID();
      const thread = one.thread ?? id;
      const summary = await summarizeCluster({ db: trx }, one);
      // Without a summary they are all of chains that have ended. That they are told counts all the same: otherwise they
      // would be due again each time.
      await putNotice(trx, one, thread, summary ? composeNotice(summary, { ...one, id, thread }) : null);
    }
  });
}
