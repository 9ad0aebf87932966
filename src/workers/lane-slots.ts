import type { ActivitySlotInfo, CustomSlotSupplier, SlotPermit } from '@temporalio/worker';

/**
 * How many calls of one queue a worker takes that have yet to pass the quota, while their group has room. Each poll takes
 * one; what it brings passes within milliseconds. Not more: when the room ends, those on the way stand in line, where they are
 * served one by one, whatever they cost and whoever's they are.
 */
const ON_THE_WAY = 3;

/**
 * The slots of one queue of model calls. A worker takes calls from Temporal only as fast as their group admits them: while
 * somebody waits in the group, it has one call more than have passed. So the backlog stays in Temporal, in the order
 * of priority and fairness, and what is urgent comes next but one.
 */
export class LaneSlots implements CustomSlotSupplier<ActivitySlotInfo> {
  readonly type = 'custom';
  #issued = 0;
  #passed = 0;
  readonly #asking: (() => void)[] = [];

  constructor(
    /** Calls of this queue that run at once at most. */
    private readonly concurrency: number,
    private readonly hasRoom: () => boolean,
  ) {}

  reserveSlot(_context: unknown, signal: AbortSignal): Promise<SlotPermit> {
    return new Promise((resolve, reject) => {
      const give = (): void => {
        signal.removeEventListener('abort', leave);
        resolve({});
      };
      const leave = (): void => {
        this.#asking.splice(this.#asking.indexOf(give), 1);
        reject(signal.reason);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#asking.push(give);
      this.give();
    });
  }

  /** Only for eager dispatch, which would pass by the order of the queue. */
  tryReserveSlot(): null {
    return null;
  }

  markSlotUsed(): void {}

  releaseSlot(): void {
    this.#issued -= 1;
    this.give();
  }

  /** A call has passed the quota, or waits for something else; returns what to call at its end. */
  pass(): () => void {
    this.#passed += 1;
    this.give();
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#passed -= 1;
    };
  }

  /** Gives out what may be given out now. To be called when the group's room has changed. */
  give(): void {
    while (this.#asking.length > 0 && this.#issued < this.concurrency) {
      if (this.#issued - this.#passed >= (this.hasRoom() ? ON_THE_WAY : 1)) return;
      this.#issued += 1;
      this.#asking.shift()?.();
    }
  }
}
