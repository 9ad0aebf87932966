import { isClosed } from '../contracts/chains.js';
import { HoldfastError } from '../contracts/errors.js';
import { type HoldDecision, verdictsOf } from '../contracts/holds.js';
import type { ChainHead } from '../store/chains.js';
import { type HoldRow, WITHDRAWN, wrongVerdict } from '../store/holds.js';

/** The holds that a decision is for. Throws when there are none, or when it must be said which. */
export function chooseHolds(
  row: ChainHead,
  all: readonly HoldRow[],
  { verdict, edit }: Pick<HoldDecision, 'verdict' | 'edit'>,
  holdId: string | undefined,
): readonly HoldRow[] {
  const named = all.find((hold) => hold.id === holdId);
  if (holdId !== undefined && named === undefined) {
    const known = all.map((hold) => hold.id).join(', ') || 'none';
    throw new HoldfastError('HOLD_NOT_FOUND', `${row.id} has no hold ${holdId}.`, `Its holds: ${known}.`);
  }
  // Also when the chain has gone on since, and ended: whoever comes second is told who was first.
  const settled = (hold: HoldRow) =>
    hold.decided_at !== null && hold.verdict !== WITHDRAWN && verdictsOf(hold).includes(verdict);
  const open = all.filter((hold) => hold.decided_at === null);
  const last = named ?? (verdict === 'retry' || open.length > 0 ? undefined : all.filter(settled).at(-1));
  if (last !== undefined && settled(last)) {
    const { decided_by: by, decided_at: at, verdict: first } = last;
    throw alreadyDecided(row.id, last.id, { by: by ?? 'unknown', at: at?.toISOString() ?? '', verdict: first ?? '' });
  }
  if (isClosed(row.state)) {
    const remedy = 'A closed chain takes no decisions; submit it anew.';
    throw new HoldfastError('NOT_HELD', `${row.id} is ${row.state}, not held.`, remedy);
  }
  if (named !== undefined) {
    if (!verdictsOf(named).includes(verdict)) throw wrongVerdict(named, verdict);
    return [named];
  }
  const fitting = open.filter((hold) => verdictsOf(hold).includes(verdict));
  if (fitting[0] === undefined) {
    if (open[0] !== undefined) throw wrongVerdict(open[0], verdict);
    throw new HoldfastError('NOT_HELD', `${row.id} is ${row.state}, not held.`, `There is nothing to ${verdict}.`);
  }
  const isForAll = verdict === 'cancel' || (verdict === 'retry' && edit === undefined);
  if (!isForAll && fitting.length > 1) {
    const ids = fitting.map(({ id }) => id).join(', ');
    throw new HoldfastError(
      'WRONG_DECISION',
      `${row.id} has ${fitting.length} open ${fitting[0].kind === 'approval' ? 'approvals' : 'dead letters'}.`,
      `Name one: ${ids}.`,
    );
  }
  return fitting;
}

export function alreadyDecided(
  id: string,
  holdId: string,
  first: { by: string; at: string; verdict: string },
): HoldfastError {
  return new HoldfastError(
    'ALREADY_DECIDED',
    `Hold ${holdId} of ${id} was already decided by ${first.by} at ${first.at}: ${first.verdict}.`,
    `See \`holdfast status ${id}\`.`,
  );
}
