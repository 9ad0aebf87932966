import type { documentSteps } from '../agents/document-steps.js';
import { proxySteps } from './steps.js';

const { analyze, summarize } = proxySteps<typeof documentSteps>();

export interface AnalyzeDocumentInput {
  readonly document: string;
  readonly title?: string;
}

export interface AnalyzeDocumentResult {
  /** Five, the most important one first. */
  readonly analysis: { readonly keyPoints: readonly string[] };
  /** Two paragraphs. */
  readonly summary: string;
}

/**
 * Analyses a document and summarises it: five key points at high priority, because somebody waits for them, then two
 * paragraphs at normal priority that go on from the same conversation.
 */
export async function analyzeDocument({ document, title }: AnalyzeDocumentInput): Promise<AnalyzeDocumentResult> {
  const analysis = await analyze({ document, title }, { priority: 'high' });
  const summary = await summarize({ paragraphs: 2 }, { priority: 'normal', continues: analysis });
  return { analysis: analysis.output, summary: summary.output };
}
