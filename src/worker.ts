/** What a program that runs its own worker process uses. */
export { type Targets, targetsOf } from './connect.js';
export {
  type DocumentBlock,
  type ImageBlock,
  ModelCallError,
  type ModelCallOptions,
  type ModelPort,
  type ModelRequest,
  type ModelResponse,
  type TextBlock,
  type TokenUsage,
  type Turn,
  type TurnBlock,
} from './contracts/models.js';
export { type AnthropicModelOptions, createAnthropicModel } from './models/anthropic-model.js';
export { type HoldfastPlugin, type HoldfastPluginOptions, holdfastPlugin } from './workers/plugin.js';
export { type RunningWorker, startWorker, type WorkerSettings } from './workers/worker.js';
export { workerSettings } from './workers/worker-settings.js';
