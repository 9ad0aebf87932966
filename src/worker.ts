/** What a program that runs its own worker process uses. */
export {
  ModelCallError,
  type ModelCallOptions,
  type ModelPort,
  type ModelRequest,
  type ModelResponse,
  type TokenUsage,
  type Turn,
} from './contracts/models.js';
export { type RunningWorker, startWorker, type WorkerSettings } from './workers/worker.js';
