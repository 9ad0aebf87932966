/** The shipped chains. The name of the export is the name of the chain. */
export { analyzeDocument } from './analyze-document.js';
export { reviewedReport as 'reviewed-report' } from './reviewed-report.js';
