/** What tests of chains use. */
export {
  type CallRecord,
  type FaultRule,
  type SimulatedClaude,
  type SimulatedClaudeOptions,
  startSimulatedClaude,
} from './embedded/simulated-claude/index.js';
