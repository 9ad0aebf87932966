import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { ApplicationFailure } from '@temporalio/workflow';
import { type Approval, type ApprovalRequest, MAX_DEADLINE_MS } from '../contracts/approvals.js';
import { approvalIdOf, DEADLINE } from '../contracts/holds.js';
import { engineState, take } from './engine-state.js';
import { waitAtHold } from './holds.js';

/** Part of hold ids, which people type. */
const CATEGORY = /^[\w.-]{1,64}$/;

/**
 * Asks a person to approve, edit or reject a proposal, and waits: until somebody decides, or for `deadlineMs`. The first
 * decision counts. Throws `CancelledFailure` when the chain is cancelled meanwhile.
 */
export async function approval<Proposal>(request: ApprovalRequest<Proposal>): Promise<Approval<Proposal>> {
  const { category, proposal, deadlineMs, onTimeout = 'reject' } = request;
  checkRequest(category, deadlineMs, onTimeout);
  const hash = bytesToHex(sha256(utf8ToBytes(JSON.stringify([engineState.generation, category, proposal ?? null]))));
  const holdId = approvalIdOf(category, hash, take(engineState.occurrences, `approval ${category}:${hash}`));
  const deadline = deadlineMs === undefined ? undefined : new Date(Date.now() + deadlineMs).toISOString();
  const decision = await waitAtHold(
    {
      holdId,
      kind: 'approval',
      reason: 'approval_required',
      step: category,
      // Counted with the steps' calls, so that the numbers go on in the next run.
      call: take(engineState.calls, `approval ${category}`) + 1,
      message: `A ${category} waits for approval.`,
      proposal: proposal ?? null,
      ...(deadline === undefined ? {} : { deadline, onTimeout }),
    },
    deadlineMs,
  );
  const { by, at, note } = decision;
  const how = { by, at, ...(note === undefined ? {} : { note }), timedOut: by === DEADLINE };
  if (decision.verdict !== 'approve') return { ...how, approved: false };
  const edited = decision.edit !== undefined;
  return { ...how, approved: true, edited, value: edited ? (decision.edit as Proposal) : proposal };
}

function checkRequest(category: string, deadlineMs: number | undefined, onTimeout: string): void {
  const flaw = !CATEGORY.test(category)
    ? `category has up to 64 letters, digits, dots, dashes and underscores, unlike ${JSON.stringify(category)}`
    : deadlineMs !== undefined && !(Number.isInteger(deadlineMs) && deadlineMs > 0 && deadlineMs <= MAX_DEADLINE_MS)
      ? `deadlineMs is a whole number of milliseconds up to ten years, not ${deadlineMs}`
      : onTimeout !== 'approve' && onTimeout !== 'reject'
        ? `onTimeout is approve or reject, not ${JSON.stringify(onTimeout)}`
        : undefined;
  if (flaw !== undefined) throw ApplicationFailure.nonRetryable(`An approval's ${flaw}.`, 'BadApproval');
}
