/** What application code uses: declare steps and chains, submit, follow, decide. */
export { defineApproval, defineChain, defineStep } from './agents/define.js';
export { shippedApplication } from './agents/shipped.js';
export type { ChainHandle, SubmittedChain } from './client/chain-handle.js';
export {
  type DecideResult,
  type Decider,
  HoldfastClient,
  type HoldfastClientOptions,
  type SubmitResult,
  type WaitOptions,
} from './client/holdfast-client.js';
export { linkTemporal, type TemporalLink, type TemporalTarget } from './client/temporal-link.js';
export { defineConfig, type HoldfastConfig, type HoldfastSettings, loadConfig } from './config/index.js';
export { type Connected, connectHoldfast } from './connect.js';
export type { Approval, ApprovalDefinition, ApprovalRegistry, ApprovalRequest } from './contracts/approvals.js';
export type { Application, ChainDefinition, ChainRegistry } from './contracts/chain-definition.js';
export type { ChainState } from './contracts/chains.js';
export { HoldfastError } from './contracts/errors.js';
export type { HoldDecision, HoldKind, HoldVerdict } from './contracts/holds.js';
export type { ReasonCode } from './contracts/reasons.js';
export type { ChainStatus, HoldStatus, StepStatus } from './contracts/status.js';
export type { StepDefinition, StepOptions, StepRegistry, StepResult } from './contracts/steps.js';
export type { Submission } from './intake/validate.js';
export { openStore, type Store } from './store/database.js';
export { createPayloadCodec } from './store/payload-codec.js';
