import type { z } from 'zod';

/** The longest deadline of an approval: ten years. */
export const MAX_DEADLINE_MS = 10 * 365 * 24 * 3_600_000;

/** What a chain asks a person to say yes to. */
export interface ApprovalRequest<Proposal> {
  /** What kind of thing is to be approved, e.g. `report`: its schema is registered under this name, and lists go by it. */
  readonly category: string;
  /** What is approved, edited or rejected. JSON. */
  readonly proposal: Proposal;
  /** How long to wait for a person, in milliseconds. Default: for ever. */
  readonly deadlineMs?: number;
  /** What is decided when the deadline passes. Default: `reject`. */
  readonly onTimeout?: 'approve' | 'reject';
}

/** How an approval was decided. */
export type Approval<Proposal> = {
  /** Who decided; `deadline` when nobody did in time. */
  readonly by: string;
  /** When (ISO 8601). */
  readonly at: string;
  /** Why, in words. */
  readonly note?: string;
  readonly timedOut: boolean;
} & (
  | {
      readonly approved: true;
      /** The proposal, or what it was edited into. */
      readonly value: Proposal;
      readonly edited: boolean;
    }
  | { readonly approved: false }
);

/** What may be approved, by category. */
export interface ApprovalDefinition<Proposal = unknown> {
  /** What an edited proposal must be. */
  readonly proposal: z.ZodType<Proposal>;
}

// biome-ignore lint/suspicious/noExplicitAny: a registry holds definitions of all proposals
export type ApprovalRegistry = Readonly<Record<string, ApprovalDefinition<any>>>;

/**
 * Checks an edit by the schema of its category; one without a registered schema may be anything. Returns the parsed value,
 * or what is wrong with it.
 */
export async function checkEdit(
  approvals: ApprovalRegistry | undefined,
  category: string,
  edit: unknown,
): Promise<{ readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: string }> {
  const definition = approvals !== undefined && Object.hasOwn(approvals, category) ? approvals[category] : undefined;
  if (definition === undefined) return { ok: true, value: edit };
  const problems: string[] = [];
  try {
    const parsed = await definition.proposal.safeParseAsync(edit);
    if (parsed.success) return { ok: true, value: parsed.data };
    problems.push(...parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the edit'}: ${message}`));
  } catch (error) {
    // A refinement of the author's that throws would do so for ever.
    problems.push(`its schema fails on it (${error instanceof Error ? error.message : String(error)})`);
  }
  return { ok: false, error: `The edit does not fit the proposals of ${category}: ${problems.join('; ')}.` };
}
