/** What tests of chains use. */
export {
  type CallRecord,
  type FaultRule,
  type SimulatedClaude,
  type SimulatedClaudeOptions,
  startSimulatedClaude,
} from './embedded/simulated-claude/index.js';
export {
  ChainTestEnvironment,
  type ChainTestOptions,
  type RunOptions,
  type WaitOptions,
} from './testing/chain-test-environment.js';
export {
  type ArrangedPort,
  type ConformanceCheck,
  type ModelPortSubject,
  modelPortConformance,
  type ProviderSituation,
} from './testing/model-port-conformance.js';
export { cutOff, failure, hang, refusal } from './testing/outcomes.js';
export {
  type CallMatch,
  type Responder,
  type Script,
  type ScriptedAnswer,
  type ScriptedAnswers,
  type ScriptedCall,
  type ScriptedModel,
  type ScriptRule,
  scriptedModel,
} from './testing/scripted-model.js';
