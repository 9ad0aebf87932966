/** Those who use the installation while it shakes: who submit, cancel, decide and retry. */

import { pause } from '../src/embedded/waiting.js';
import {
  createPayloadCodec,
  HoldfastClient,
  HoldfastError,
  linkTemporal,
  openStore,
  type Receipt,
} from '../src/index.js';
import { chaosApplication } from './chains/app.js';
import type { PlannedChain } from './plan.js';
import type { Addresses } from './stack.js';

const TRY_AGAIN_MS = 250;
const RETRIED_AT_ONCE = 50;

/** A document that no other chain has, so that each request to the provider is one of a kind. */
function documentOf(name: string): string {
  return (
    `${name} is about a bridge. The bridge of ${name} carries lorries and trams all day. Its steel was painted last ` +
    'spring, and the paint will last for ten years. Two joints need care before winter. The council has set money aside.'
  );
}

/** One client for all of them. What tells them to try again they try again, until it works. */
export class People {
  /** What they were told that was no request to try again. */
  readonly errors: string[] = [];
  readonly #client: HoldfastClient;
  readonly #close: () => Promise<void>;

  constructor(addresses: Addresses) {
    const store = openStore(addresses.databaseUrl, { maxConnections: 10 });
    const temporal = linkTemporal(
      { address: addresses.temporalAddress, namespace: 'default' },
      createPayloadCodec(store),
    );
    const limits = { maxInputBytes: 1_000_000, contextWindowOf: () => null };
    this.#client = new HoldfastClient({ store, temporal, app: chaosApplication, limits });
    this.#close = async () => {
      await temporal.close();
      await store.close();
    };
  }

  close(): Promise<void> {
    return this.#close();
  }

  /** Submits a chain, and cancels it when that is planned. Resolves with the id that was told. */
  async submit({ name, tenant, priority, details, approval, cancelAfterMs }: PlannedChain): Promise<string | null> {
    const input = { name, document: documentOf(name), details, approval: approval !== null };
    const submitted = await this.#patiently(`submit ${name}`, () =>
      this.#client.submit({ chain: 'writeReport', input, key: name, tenant, priority }),
    );
    if (submitted === undefined) return null;
    if (cancelAfterMs !== null) {
      await pause(cancelAfterMs);
      await this.#patiently(`cancel ${name}`, () => this.#client.cancel(submitted.id, { waitMs: 0 }), [
        'ALREADY_CLOSED',
      ]);
    }
    return submitted.id;
  }

  async decide(id: string, holdId: string, verdict: 'retry' | 'approve' | 'reject'): Promise<void> {
    // Its chain may be cancelled at the same moment; and who was not told that it counted decides again.
    const tooLate = ['ALREADY_DECIDED', 'NOT_HELD', 'ALREADY_CLOSED'];
    await this.#patiently(`${verdict} ${id}`, () => this.#client.decide(id, { verdict, by: 'chaos' }, holdId), tooLate);
  }

  /** Sends all dead letters on their way again; how many there were. */
  async retryAll(): Promise<number> {
    const { total } = await this.#client.deadLetters.list();
    if (total > 0) await this.#client.deadLetters.retryAll({}, { by: 'chaos', atOnce: RETRIED_AT_ONCE });
    return total;
  }

  async receipts(): Promise<Receipt[]> {
    const all: Receipt[] = [];
    for await (const receipt of this.#client.receipts()) all.push(receipt);
    return all;
  }

  async #patiently<Result>(
    what: string,
    run: () => Promise<Result>,
    expected: readonly string[] = [],
  ): Promise<Result | undefined> {
    for (;;) {
      try {
        return await run();
      } catch (error) {
        const code = error instanceof HoldfastError ? error.code : '';
        if (expected.includes(code)) return undefined;
        if (!code.endsWith('_UNREACHABLE')) {
          this.errors.push(
            `${what}: ${code || 'no HoldfastError'} ${error instanceof Error ? error.message : String(error)}`,
          );
          return undefined;
        }
        await pause(TRY_AGAIN_MS);
      }
    }
  }
}
