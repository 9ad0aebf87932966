import type { reviewSteps } from '../agents/review-steps.js';
import type { AnalyzeDocumentInput } from './analyze-document.js';
import { approval } from './approvals.js';
import { proxySteps } from './steps.js';

const { analyze, summarizeApproved } = proxySteps<typeof reviewSteps>();

export interface ReviewedReportInput extends AnalyzeDocumentInput {
  /** How long to wait for a person, in milliseconds. Default: for ever. */
  readonly deadlineMs?: number;
  /** What is decided when nobody does in time. Default: `reject`. */
  readonly onTimeout?: 'approve' | 'reject';
}

interface Review {
  /** Who decided; `deadline` when nobody did in time. */
  readonly by: string;
  /** When (ISO 8601). */
  readonly at: string;
  /** Why, in words. */
  readonly reason?: string;
  readonly timedOut: boolean;
  /** The key points as they were approved or rejected. */
  readonly analysis: { readonly keyPoints: readonly string[] };
}

export type ReviewedReportResult = Review &
  (
    | { readonly decision: 'approved'; readonly edited: boolean /** Two paragraphs. */; readonly summary: string }
    | { readonly decision: 'rejected' }
  );

/**
 * Analyses a document, asks a person to approve, edit or reject the key points, and summarises the document on what was
 * approved. A rejected report is completed too: its result says by whom, and why.
 */
export async function reviewedReport(input: ReviewedReportInput): Promise<ReviewedReportResult> {
  const { document, title, deadlineMs, onTimeout } = input;
  const analysis = await analyze({ document, title }, { priority: 'high' });
  const decided = await approval({ category: 'report', proposal: analysis.output, deadlineMs, onTimeout });
  const { by, at, note: reason, timedOut } = decided;
  const review = { by, at, ...(reason === undefined ? {} : { reason }), timedOut };
  if (!decided.approved) return { decision: 'rejected', ...review, analysis: analysis.output };
  const { keyPoints } = decided.value;
  const summary = await summarizeApproved({ keyPoints, paragraphs: 2 }, { continues: analysis });
  return { decision: 'approved', ...review, edited: decided.edited, analysis: { keyPoints }, summary: summary.output };
}
