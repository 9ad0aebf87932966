import { expect } from 'vitest';
import type { HoldfastClient } from '../../src/client/holdfast-client.js';
import type { ChainStatus } from '../../src/contracts/status.js';
import type { CallRecord } from '../../src/embedded/simulated-claude/index.js';
import type { Store } from '../../src/store/database.js';
import { type StackProcess, until } from './stack-process.js';

export const CHAINS = 10;

/** Ten chains of one test, on documents that no other test has. */
export class DocumentChains {
  /** @param name tells these chains from those of other tests on the same stack */
  constructor(
    private readonly stack: StackProcess,
    private readonly name: string,
  ) {}

  document(index: number): string {
    const bridge = `${this.name}-${index}`;
    return (
      `Report ${bridge} is about bridges. Bridge ${bridge} carries ${index * 100 + 7} lorries a day. ` +
      'Its steel was painted last spring. The paint will last for ten years. Two joints need care before winter. ' +
      'The council has set money aside for them.'
    );
  }

  async submitAll(client: HoldfastClient): Promise<string[]> {
    const submitted = await Promise.all(
      Array.from({ length: CHAINS }, (_, index) =>
        client.submit({
          chain: 'analyzeDocument',
          input: { document: this.document(index) },
          tenant: `tenant-${index % 2}`,
        }),
      ),
    );
    return submitted.map(({ id }) => id);
  }

  /** Waits for analyses of these chains: what an earlier test may have left does not count. */
  untilCalls(state: CallRecord['state'], count: number): Promise<readonly CallRecord[]> {
    return until(`${count} calls are ${state}`, async () => {
      const own = (await this.stack.calls()).filter(({ lastUserText }) =>
        lastUserText.includes(`Report ${this.name}-`),
      );
      const calls = own.filter((call) => call.state === state);
      return calls.length >= count && calls;
    });
  }

  async finishAll(client: HoldfastClient, ids: readonly string[]): Promise<ChainStatus[]> {
    expect(ids).toHaveLength(CHAINS);
    return Promise.all(ids.map((id) => this.finish(client, id)));
  }

  async finish(client: HoldfastClient, id: string): Promise<ChainStatus> {
    const status = await client.wait(id);
    expect(status.state).toBe('completed');
    const steps = status.steps.map(({ name, state }) => `${name} ${state}`);
    expect(steps).toEqual(['analyze completed', 'summarize completed']);
    return status;
  }
}

/** Requests that the simulator answered more than once: a finished step that was paid again. */
export function paidAgain(calls: readonly CallRecord[]): string[] {
  const counts = new Map<string, number>();
  for (const call of calls.filter(({ state }) => state === 'succeeded')) {
    const hash = call.requestHash as string;
    counts.set(hash, (counts.get(hash) ?? 0) + 1);
  }
  return [...counts].filter(([, count]) => count > 1).map(([hash]) => hash);
}

export async function interruptedAttempts(store: Store, ids: readonly string[]): Promise<number> {
  const rows = await store.db
    .selectFrom('attempt')
    .select('id')
    .where('chain_id', 'in', ids)
    .where('state', '=', 'interrupted')
    .execute();
  return rows.length;
}
