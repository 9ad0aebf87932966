import type { ApprovalDefinition } from '../contracts/approvals.js';
import type { ChainDefinition } from '../contracts/chain-definition.js';
import type { StepDefinition } from '../contracts/steps.js';

/** Declares a step; returns it unchanged, with its input and output types inferred. */
export function defineStep<Input, Output = string>(
  definition: StepDefinition<Input, Output>,
): StepDefinition<Input, Output> {
  return definition;
}

/** Declares what may be approved under a category; returns it unchanged, with the proposal's type inferred. */
export function defineApproval<Proposal>(definition: ApprovalDefinition<Proposal>): ApprovalDefinition<Proposal> {
  return definition;
}

/** Declares a chain; returns it unchanged, with its input type inferred. */
export function defineChain<Input>(definition: ChainDefinition<Input>): ChainDefinition<Input> {
  return definition;
}
