import type { NotifyConfig } from '../contracts/notices.js';
import { announceHolds } from '../notices/announce.js';
import { deliverNotices } from '../notices/deliver.js';
import type { Store } from '../store/database.js';
import { type Repeated, repeat } from './repeat.js';

/** A person reads no mail sooner. */
const INTERVAL_MS = 5_000;

/**
 * Tells people every five seconds what waits for them. Beside the sweeper and not in it: a receiver that does not answer
 * must keep no chain waiting.
 */
export function startNotifier(store: Store, notify: NotifyConfig, log: (message: string) => void): Repeated {
  return repeat('notices', INTERVAL_MS, log, async (signal) => {
    await announceHolds(store, notify);
    for (const line of (await deliverNotices(store, notify, signal)).lines) log(`notices: ${line}`);
  });
}
