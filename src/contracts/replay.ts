import type { coresdk } from '@temporalio/proto';

/**
 * What a replay is told out of the sandbox. Temporal's own messages often name only what the history has; with this, what
 * the code does instead can be named too. A type, since an interface is no `Sinks`.
 */
export type ReplaySinks = {
  holdfastReplay: {
    /** The code goes on, knowing the history up to this event. */
    reached(eventId: number): void;
    /** The commands that it has given then. */
    gave(commands: readonly coresdk.workflow_commands.IWorkflowCommand[]): void;
  };
};
