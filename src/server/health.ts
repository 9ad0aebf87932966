import { sql } from 'kysely';
import type { TemporalLink } from '../client/temporal-link.js';
import type { Store } from '../store/database.js';

type PartHealth = 'ok' | 'unreachable';

export interface Health {
  readonly status: 'ok' | 'unavailable';
  readonly postgres: PartHealth;
  readonly temporal: PartHealth;
}

/** Shorter than the 5 seconds that docker-compose.yml waits for an answer. */
const PATIENCE_MS = 3_000;

/** Whether the parts that the API stands on answer. Says no more than that, since anybody may ask. */
export async function checkHealth(store: Store, temporal: TemporalLink): Promise<Health> {
  const [postgres, temporalHealth] = await Promise.all([
    healthOf(sql`SELECT 1`.execute(store.db)),
    healthOf(
      temporal.use(({ connection }) => connection.workflowService.describeNamespace({ namespace: temporal.namespace })),
    ),
  ]);
  const status = postgres === 'ok' && temporalHealth === 'ok' ? 'ok' : 'unavailable';
  return { status, postgres, temporal: temporalHealth };
}

async function healthOf(answer: Promise<unknown>): Promise<PartHealth> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<PartHealth>((resolve) => {
    timer = setTimeout(resolve, PATIENCE_MS, 'unreachable');
  });
  const health = answer.then(
    (): PartHealth => 'ok',
    (): PartHealth => 'unreachable',
  );
  return Promise.race([health, late]).finally(() => clearTimeout(timer));
}
