import { approval, proxySteps } from '../../src/workflow.js';
import type { steps } from './steps.js';

const { outline, detail, conclude } = proxySteps<typeof steps>();

export interface ReportInput {
  readonly name: string;
  readonly document: string;
  readonly details: number;
  readonly approval: boolean;
}

/** A few steps in all the ways in which they come: one after another, side by side, and after a person's decision. */
export async function writeReport(input: ReportInput): Promise<{ decision: string; report: string }> {
  const { name, document, details } = input;
  const plan = await outline({ name, document });
  const { points } = plan.output;
  await Promise.all(points.slice(0, details).map((point, index) => detail({ name, part: index + 1, point })));
  if (input.approval) {
    const decided = await approval({ category: 'publishing', proposal: { points } });
    if (!decided.approved) return { decision: 'rejected', report: '' };
  }
  const report = await conclude({ name }, { continues: plan });
  return { decision: 'approved', report: report.output };
}
