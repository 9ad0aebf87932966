/** What workflow code uses: chains import this, and nothing else of ours. */
export type { Approval, ApprovalRequest } from './contracts/approvals.js';
export type { Attachment } from './contracts/attachments.js';
export type { StepOptions, StepResult } from './contracts/steps.js';
export { analyzeDocument } from './workflows/analyze-document.js';
export { approval } from './workflows/approvals.js';
export { reviewedReport } from './workflows/reviewed-report.js';
export { proxySteps } from './workflows/steps.js';
