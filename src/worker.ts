/** What a program that runs its own worker process uses. */
export { type RunningWorker, startWorker, type WorkerSettings } from './workers/worker.js';
