export { readCallLog, totalUsage } from './call-log.js';
export { FAULT_KINDS, type FaultKind, type FaultRule } from './faults.js';
export { runSimulatedClaude, type SimulatedClaudeReady } from './main.js';
export { SIMULATED_MODELS, type SimulatedModel } from './models.js';
export {
  type BucketReading,
  DEFAULT_LIMITS,
  type GroupLimits,
  type GroupReading,
  type LimitOptions,
} from './rate-limits.js';
export { type SimulatedClaude, startSimulatedClaude } from './server.js';
export { countTokens } from './tokens.js';
export {
  type CallRecord,
  type CallState,
  type CallUsage,
  DEFAULT_LATENCY,
  type LatencyOptions,
  type SimulatedClaudeOptions,
  type SimulatorClock,
} from './types.js';
