/** The shipped chains. The name of the function is the name of the chain. */
export { analyzeDocument } from './analyze-document.js';
