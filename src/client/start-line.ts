import PQueue from 'p-queue';
import { PRIORITIES, type Priority } from '../contracts/priority.js';

/**
 * How many starts are on the way at once. When hundreds come together, more of them take the time of Temporal and the
 * workers from the chains that run already: with eight the first calls came half a second later, and second ones a second
 * (`npm run bench:quota -- tokens`). It is no faster with two.
 */
const AT_ONCE = 3;

/** More than any tenant has waiting: classes go before turns. */
const CLASS = 1e9;

/** The chains of this process that are to be started: urgent ones first, and within a class tenants in turn. */
export class StartLine {
  private readonly queue = new PQueue({ concurrency: AT_ONCE });
  /** How many of each tenant and class wait or are on the way. */
  private readonly waiting = new Map<string, number>();

  /** Starts a chain when its turn comes. */
  async add<Result>(chain: { readonly tenant: string; readonly priority: Priority }, start: () => Promise<Result>) {
    const key = `${chain.priority}\n${chain.tenant}`;
    const turn = this.waiting.get(key) ?? 0;
    this.waiting.set(key, turn + 1);
    try {
      return await this.queue.add(start, { priority: -PRIORITIES.indexOf(chain.priority) * CLASS - turn });
    } finally {
      const left = (this.waiting.get(key) as number) - 1;
      if (left === 0) this.waiting.delete(key);
      else this.waiting.set(key, left);
    }
  }
}
