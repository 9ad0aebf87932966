import type { Store } from '../store/database.js';
import { type ReceiptRow, readReceipts as readPage } from '../store/receipts.js';
import type { AttemptKind, AttemptState } from '../store/schema.js';
import { parseSince } from './since.js';

const PAGE = 500;

export interface ReceiptOptions {
  readonly tenant?: string;
  /** Name of the chain. */
  readonly chain?: string;
  /** Attempts that began from then on: ISO 8601, or how long ago (`10m`, `2h`, `7d`). */
  readonly since?: string;
}

/** What one call of a model cost and how it ended, or that the journal answered in its place. */
export interface Receipt {
  /** Grows with every attempt. */
  readonly id: number;
  readonly chainId: string;
  readonly chain: string;
  readonly tenant: string;
  readonly step: string;
  /** The how-manieth call of this step in the chain, from 1. */
  readonly call: number;
  /** The how-manieth model call for it, from 1; null when the journal answered. */
  readonly attempt: number | null;
  /** `call`, `repair` (it was shown why its answer did not fit) or `reuse` (from the journal). */
  readonly kind: AttemptKind;
  readonly fromJournal: boolean;
  readonly state: AttemptState;
  readonly model: string;
  /** The configured account that paid; null for the main one. */
  readonly account: string | null;
  /** The provider's name for the request. */
  readonly requestId: string | null;
  readonly promptHash: string;
  /** Without cache reads and writes. */
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheReadTokens: number;
  readonly cacheWrite5mTokens: number;
  readonly cacheWrite1hTokens: number;
  /** Micro-dollars; null while the call is open, and when the model has no known price. */
  readonly costMicroUsd: number | null;
  readonly reason: string | null;
  readonly message: string | null;
  readonly startedAt: string;
  readonly finishedAt: string | null;
}

/** One receipt per attempt, oldest first, read page by page. Throws `INVALID_INPUT` for a time that is none. */
export async function* readReceipts(store: Store, { since, ...filter }: ReceiptOptions): AsyncGenerator<Receipt> {
  const from = since === undefined ? {} : { since: parseSince(since) };
  let last = 0;
  for (;;) {
    const page = await readPage(store, { ...filter, ...from }, last, PAGE).catch((error: unknown) => {
      throw store.explain(error);
    });
    for (const row of page) yield receiptOf(row);
    if (page.length < PAGE) return;
    last = (page.at(-1) as ReceiptRow).id;
  }
}

function receiptOf(row: ReceiptRow): Receipt {
  const fromJournal = row.kind === 'reuse';
  return {
    id: row.id,
    chainId: row.chain_id,
    chain: row.type,
    tenant: row.tenant,
    step: row.step,
    call: row.call,
    attempt: fromJournal ? null : Number(row.attempt),
    kind: row.kind,
    fromJournal,
    state: row.state,
    model: row.model,
    account: row.account,
    requestId: row.request_id,
    promptHash: row.prompt_hash,
    inputTokens: row.input_tokens,
    outputTokens: row.output_tokens,
    cacheReadTokens: row.cache_read_tokens,
    cacheWrite5mTokens: row.cache_write_5m_tokens,
    cacheWrite1hTokens: row.cache_write_1h_tokens,
    costMicroUsd: row.cost_micro_usd,
    reason: row.reason,
    message: row.message,
    startedAt: row.started_at.toISOString(),
    finishedAt: row.finished_at?.toISOString() ?? null,
  };
}
