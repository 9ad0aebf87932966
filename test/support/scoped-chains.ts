import { CancellationScope, isCancellation } from '@temporalio/workflow';
import { approval } from '../../src/workflows/approvals.js';
import { proxySteps } from '../../src/workflows/steps.js';
import type { scopedSteps } from './scoped-app.js';

const { read, write, look, send } = proxySteps<typeof scopedSteps>();

export interface CustomerEvent {
  readonly customer: string;
  readonly event: string;
}

/** Has its customer for itself while it runs. */
export async function handleEvent({ event, customer }: CustomerEvent): Promise<string> {
  await read({ event, customer });
  return (await read({ event: `${event} again`, customer })).output;
}

/** As handleEvent, and lets others have the customer while it waits for a person. */
export async function reviewEvent({ event, customer }: CustomerEvent): Promise<boolean> {
  const { output } = await read({ event, customer });
  const { approved } = await approval({ category: 'event', proposal: output });
  await read({ event: `${event} after`, customer });
  return approved;
}

/** Calls steps with scopes of their own, all at once. */
export async function lookUp(events: readonly CustomerEvent[]): Promise<string[]> {
  const results = await Promise.all(events.map((event) => (event.event === 'write' ? write(event) : look(event))));
  return results.map(({ output }) => output);
}

/** Sends one message for each event. */
export async function sendAll(events: readonly CustomerEvent[]): Promise<void> {
  await Promise.all(events.map((event) => send(event)));
}

/** Gives up the look at the customer when it is told to, and goes on. */
export async function lookThenWrite(event: CustomerEvent): Promise<string> {
  try {
    await CancellationScope.withTimeout(300, () => look(event));
  } catch (error) {
    if (!isCancellation(error)) throw error;
  }
  return (await read(event)).output;
}
