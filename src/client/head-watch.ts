import type { ChainHead } from '../store/chains.js';

interface Look {
  readonly id: string;
  readonly resolve: (head: ChainHead | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/** Chains for each millisecond between two looks: the more are waited for, the more a look costs. */
const CHAINS_PER_MS = 4;

/**
 * Looks for all who wait for news of chains, in one query: a client that waits for hundreds of chains asks no oftener than
 * one that waits for a single one. `read` gives the rows of those that have any.
 */
export class HeadWatch {
  private looks: Look[] = [];
  private timer: NodeJS.Timeout | undefined;
  private dueAt = Number.POSITIVE_INFINITY;

  constructor(private readonly read: (ids: readonly string[]) => Promise<readonly ChainHead[]>) {}

  /**
   * The row of a chain if there is news of it in so many milliseconds; earlier when somebody else is in more of a hurry,
   * later when hundreds wait.
   */
  look(id: string, inMs: number): Promise<ChainHead | undefined> {
    return new Promise((resolve, reject) => {
      this.looks.push({ id, resolve, reject });
      const waitMs = Math.max(inMs, this.looks.length / CHAINS_PER_MS);
      const dueAt = Date.now() + waitMs;
      if (dueAt >= this.dueAt) return;
      this.dueAt = dueAt;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void this.lookNow(), waitMs);
    });
  }

  private async lookNow(): Promise<void> {
    const looks = this.looks;
    this.looks = [];
    this.dueAt = Number.POSITIVE_INFINITY;
    try {
      const heads = await this.read([...new Set(looks.map(({ id }) => id))]);
      const byId = new Map(heads.map((head) => [head.id, head]));
      for (const { id, resolve } of looks) resolve(byId.get(id));
    } catch (error) {
      for (const { reject } of looks) reject(error);
    }
  }
}
