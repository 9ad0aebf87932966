import { WorkflowNotFoundError } from '@temporalio/client';

/** Codes of the gRPC specification. */
export const NOT_FOUND = 5;

/** Whether an error, or what it comes from, is a gRPC status. The client turns NOT_FOUND of a workflow into its own error. */
export function hasGrpcCode(error: unknown, code: number): boolean {
  if (code === NOT_FOUND && error instanceof WorkflowNotFoundError) return true;
  for (let current = error; current instanceof Error; current = current.cause) {
    if ((current as { code?: unknown }).code === code) return true;
  }
  return false;
}
