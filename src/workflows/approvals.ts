import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { ApplicationFailure } from '@temporalio/workflow';
import type { Approval, ApprovalRequest } from '../contracts/approvals.js';
import { approvalIdOf, DEADLINE } from '../contracts/holds.js';
import { engineState, take } from './engine-state.js';
import { waitAtHold } from './holds.js';

/**
 * Asks a person to approve, edit or reject a proposal, and waits: until somebody decides, or for `deadlineMs`. The first
 * decision counts. Throws `CancelledFailure` when the chain is cancelled meanwhile.
 */
export async function approval<Proposal>(request: ApprovalRequest<Proposal>): Promise<Approval<Proposal>> {
  const { category, proposal, deadlineMs, onTimeout = 'reject' } = request;
  if (deadlineMs !== undefined && !(deadlineMs > 0 && Number.isFinite(deadlineMs))) {
    throw ApplicationFailure.nonRetryable(`An approval's deadlineMs is a positive number, not ${deadlineMs}.`);
  }
  const hash = bytesToHex(sha256(utf8ToBytes(JSON.stringify([engineState.generation, category, proposal ?? null]))));
  const holdId = approvalIdOf(category, hash, take(engineState.occurrences, `approval ${category}:${hash}`));
  const decision = await waitAtHold(
    {
      holdId,
      kind: 'approval',
      reason: 'approval_required',
      step: category,
      call: take(engineState.approvals, category) + 1,
      message: `A ${category} waits for approval.`,
      proposal: proposal ?? null,
      ...(deadlineMs === undefined ? {} : { deadline: new Date(Date.now() + deadlineMs).toISOString() }),
    },
    deadlineMs === undefined ? undefined : { ms: deadlineMs, verdict: onTimeout },
  );
  const { by, at, note } = decision;
  const how = { by, at, ...(note === undefined ? {} : { note }), timedOut: by === DEADLINE };
  if (decision.verdict !== 'approve') return { ...how, approved: false };
  const edited = decision.edit !== undefined;
  return { ...how, approved: true, edited, value: edited ? (decision.edit as Proposal) : proposal };
}
