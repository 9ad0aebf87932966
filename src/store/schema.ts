import type { Generated, GeneratedAlways } from 'kysely';
import type { ChainState } from '../contracts/chains.js';
import type { HoldKind, HoldVerdict } from '../contracts/holds.js';
import type { Lane } from '../contracts/lanes.js';
import type { NoticeChannel } from '../contracts/notices.js';
import type { PauseKind } from '../contracts/pauses.js';
import type { Priority } from '../contracts/priority.js';

/** The four records, what stands in the way of calls, and the changes of chains, as tables. Columns that hold JSON are text: exact bytes, never reordered as jsonb would. */
export interface Database {
  chain: ChainTable;
  attempt: AttemptTable;
  blob: BlobTable;
  hold: HoldTable;
  hold_note: HoldNoteTable;
  circuit: CircuitTable;
  notice_look: NoticeLookTable;
  notice: NoticeTable;
  notice_message: NoticeMessageTable;
  change: ChangeTable;
  pause: PauseTable;
  parked: ParkedTable;
  tenant_weight: TenantWeightTable;
  scope_claim: ScopeClaimTable;
  scope_claim_key: ScopeClaimKeyTable;
  scope_admission: ScopeAdmissionTable;
}

/** The job record, written before the workflow starts. */
export interface ChainTable {
  /** Also the workflow id. */
  id: string;
  type: string;
  tenant: string;
  priority: Priority;
  key: string | null;
  /** SHA-256 of the canonical input. */
  content_hash: string | null;
  /** True while identical submissions join this chain; given up at the first hold and at the end. */
  content_slot: boolean;
  /** JSON; null for a chain that was started without intake. */
  input: string | null;
  title: string | null;
  state: Exclude<ChainState, 'stuck'>;
  message: string | null;
  /** JSON. */
  output: string | null;
  first_run_id: string | null;
  /** Temporal namespace that runs it; null for rows of the first version. */
  namespace: string | null;
  created_at: Generated<Date>;
  started_at: Date | null;
  closed_at: Date | null;
  /** The run that ended it: when another run of the same workflow comes, it was reset, and is open again. */
  closed_run_id: string | null;
  /** When the sweeper looked at it; for one whose workflow waits in Temporal the time when that begins. */
  checked_at: Date | null;
  /** When its contents were pruned and its receipts kept. */
  pruned_at: Generated<Date | null>;
  /** W3C `traceparent` of the span that submitted it; null when nobody traced. */
  trace_parent: string | null;
  /** Whether its workflow claims scopes before the chain's function begins. */
  scoped: Generated<boolean>;
  /** For so long after its end it answers for identical submissions, in milliseconds; null: not at all. */
  reuse_ms: number | null;
  /** When it is to start; null for one that starts at once. Until then it is queued, and its workflow waits in Temporal. */
  start_at: Generated<Date | null>;
}

/**
 * `call`: the model is asked; `repair`: it is shown why its answer did not fit; `reuse`: the journal answered; `resolve`: a
 * person answered.
 */
export type AttemptKind = 'call' | 'repair' | 'reuse' | 'resolve';

/** `interrupted`: its worker died while it was open, so that nobody knows whether it was paid. */
export type AttemptState = 'open' | 'succeeded' | 'failed' | 'interrupted' | 'cancelled';

/** One row per model call: receipt, count of attempts and journal. Written before the call, completed after it. */
export interface AttemptTable {
  id: Generated<number>;
  chain_id: string;
  tenant: string;
  first_run_id: string;
  run_id: string;
  step: string;
  input_hash: string;
  occurrence: number;
  revision: number;
  call: number;
  round: number;
  kind: AttemptKind;
  state: AttemptState;
  /** Whether it counts against the lane's retries. Only failures that are the call's own do. */
  spent: boolean;
  worker: number | null;
  model: string;
  /** The configured account that paid; null for the main one. */
  account: string | null;
  lane: Lane;
  quota_group: string;
  prompt_hash: string;
  request_id: string | null;
  reason: string | null;
  message: string | null;
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_5m_tokens: number;
  cache_write_1h_tokens: number;
  /** Null: the model has no known price. */
  cost_micro_usd: number | null;
  /** The model's text where it is not stored as a turn, because it could not be used. */
  answer: string | null;
  /** JSON of the step's result. */
  result: string | null;
  started_at: Generated<Date>;
  finished_at: Date | null;
}

/** Content-addressed bytes of one tenant. */
export interface BlobTable {
  tenant: string;
  address: string;
  bytes: Buffer;
  created_at: Generated<Date>;
  /** When it was last written or continued, give or take an hour. */
  touched_at: Generated<Date>;
}

/** What waits, or waited, for a person. */
export interface HoldTable {
  chain_id: string;
  first_run_id: string;
  id: string;
  kind: HoldKind;
  reason: string;
  step: string;
  call: number;
  message: string;
  opened_at: Generated<Date>;
  verdict: string | null;
  decided_by: string | null;
  decided_at: Date | null;
  /** When the workflow took the decision; until then it is sent again. */
  taken_at: Date | null;
  /** How often, and when last, the decision was sent to a workflow that has not taken it. */
  sends: Generated<number>;
  sent_at: Date | null;
  /** JSON of what is to be approved; null for failures. */
  proposal: string | null;
  /** JSON of what was approved in its place. */
  edit: string | null;
  /** When it is decided without a person, and how. */
  deadline: Date | null;
  on_timeout: HoldVerdict | null;
  /** Which decision it was that counted, so that one whose answer was lost is known again; null for the client's. */
  decision_id: string | null;
  note: string | null;
  /** The model that was to answer; null for approvals, and where no worker knew. */
  model: string | null;
  /** What to do about a reason of the application's own; null for those of the registry. */
  suggested_action: string | null;
  /** JSON of the step's input, and the conversation that it continues; null for approvals. */
  input: string | null;
  continues: string | null;
  /** Whether the chain can go on without the step. */
  skippable: Generated<boolean>;
  /** Who looks after it. */
  assignee: string | null;
  /** The scopes that its chain and call had when it was opened. */
  scopes: Generated<string[]>;
  /** Its message without what differs between two failures of one cause; and all that have it, their step and reason. */
  pattern: GeneratedAlways<string>;
  cluster: GeneratedAlways<string>;
}

/** What a person wrote about a hold. */
export interface HoldNoteTable {
  id: Generated<number>;
  chain_id: string;
  first_run_id: string;
  hold_id: string;
  written_at: Generated<Date>;
  written_by: string;
  text: string;
}

/** A step and model whose calls fail permanently. */
export interface CircuitTable {
  step: string;
  model: string;
  reason: string;
  message: string;
  opened_at: Generated<Date>;
  /** The call that is let through, and when the last one was; null: none is. */
  probe: string | null;
  probed_at: Generated<Date>;
  /** The latest attempt when a call had succeeded: what failed before it counts no more. Null while the circuit is open. */
  closed_after: number | null;
}

/** One row: when somebody looked last for what is to be told. */
export interface NoticeLookTable {
  looked_at: Date;
}

/** What was told of the open holds of one cause by one way. Gone when all of them are decided. */
export interface NoticeTable {
  /** Of failures the cluster; of approvals `approval:` and the category. */
  cluster: string;
  channel: NoticeChannel;
  /** Names all that is told from the first message on. */
  thread: string;
  /** How many were open then. */
  told_count: number;
  told_at: Generated<Date>;
  /** When the latest of them was opened. */
  told_until: Date;
  /** When it was told last that some have waited for too long. */
  overdue_at: Date | null;
}

/** A message that has not arrived yet. */
export interface NoticeMessageTable {
  /** Also the id of what it tells, the same for each try. */
  id: string;
  channel: NoticeChannel;
  /** Null for what one person told of one dead letter. */
  cluster: string | null;
  /** JSON of the notice; the same for each try. */
  body: string;
  written_at: Generated<Date>;
  tries: Generated<number>;
  /** Whoever takes it puts it off first, so that nobody else takes it. */
  next_try_at: Generated<Date>;
  last_error: string | null;
}

/** A state that a chain entered. Written by a trigger alone. */
export interface ChangeTable {
  /** Number of the transaction, or of a later one: see the migration. */
  position: number;
  seq: Generated<number>;
  chain_id: string;
  type: string;
  tenant: string;
  key: string | null;
  state: ChainTable['state'];
  /** Of all attempts that had ended when the state changed; null when none of them has a known price. */
  cost_micro_usd: number | null;
  changed_at: Date;
}

/** A stop that a person has ordered. */
export interface PauseTable {
  id: Generated<number>;
  kind: PauseKind;
  /** Empty for everything. */
  value: string;
  paused_by: string;
  reason: string | null;
  paused_at: Generated<Date>;
}

/** A call that waits outside of every queue until its cause is over. */
export interface ParkedTable {
  chain_id: string;
  first_run_id: string;
  step: string;
  call: number;
  /** What it waits for: `pause`, or another mechanism's own word; and which one of them. */
  cause_kind: string;
  cause_id: string;
  /** For people. */
  cause: string;
  since: Generated<Date>;
  /** When its cause is over; null until somebody knows. */
  due_at: Date | null;
  /** How often, and when last, its chain was told. */
  wakes: Generated<number>;
  woken_at: Date | null;
}

/** A tenant's share of what is scarce, beside 1 for all others. */
export interface TenantWeightTable {
  tenant: string;
  weight: number;
}

/** `lapsed`: it was let in and its chain did not answer; it stands in line again when the chain asks again. */
export type ScopeClaimState = 'waiting' | 'admitted' | 'lapsed';

/** Who wants scopes, or has them: a call of a step, or a chain as a whole. Gone once it has given them back. */
export interface ScopeClaimTable {
  id: Generated<number>;
  chain_id: string;
  /** Which call of the chain; empty for the chain as a whole. */
  call: string;
  /** For people; null for the chain as a whole. */
  step: string | null;
  call_number: number | null;
  state: ScopeClaimState;
  /** Whose activity has taken the permit up. */
  worker: number | null;
  /** Since when that worker is seen as dead. */
  worker_lost_at: Date | null;
  claimed_at: Generated<Date>;
  admitted_at: Date | null;
  /** When the chain learned that it was let in; until then it is told again. */
  seen_at: Date | null;
  sends: Generated<number>;
  sent_at: Date | null;
}

/** One key that a claim takes. */
export interface ScopeClaimKeyTable {
  claim_id: number;
  key: string;
  /** The scope's name for people. */
  label: string;
  /** How many may have the key at once, by the declaration of the claim. */
  at_once: number | null;
  /** How many may take it within a time, in milliseconds. */
  rate_count: number | null;
  rate_ms: number | null;
  /** Place in line: class, then arrival of the chain. */
  rank: number;
  arrival: Date;
  state: ScopeClaimState;
}

/** What a rate has let in, until it no longer counts. */
export interface ScopeAdmissionTable {
  key: string;
  admitted_at: Date;
  until: Date;
}
