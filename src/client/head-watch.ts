import type { ChainHead } from '../store/chains.js';

interface Look {
  readonly id: string;
  readonly resolve: (head: ChainHead | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Looks at the rows of chains for all who wait for them, in one query: a client that waits for hundreds of chains asks as
 * often as one that waits for a single one.
 */
export class HeadWatch {
  private looks: Look[] = [];
  private timer: NodeJS.Timeout | undefined;
  private dueAt = Number.POSITIVE_INFINITY;

  constructor(private readonly read: (ids: readonly string[]) => Promise<readonly ChainHead[]>) {}

  /** The row of a chain in so many milliseconds, or earlier, when somebody else is in more of a hurry. */
  look(id: string, inMs: number): Promise<ChainHead | undefined> {
    return new Promise((resolve, reject) => {
      this.looks.push({ id, resolve, reject });
      const dueAt = Date.now() + inMs;
      if (dueAt >= this.dueAt) return;
      this.dueAt = dueAt;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void this.lookNow(), inMs);
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
