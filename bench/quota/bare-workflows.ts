import { proxyActivities } from '@temporalio/workflow';
import type { BareActivities, Message } from '../bare/activities.js';
import { CALLS, type QuotaInput, turnOf } from './prompts.js';

// Priority and fairness key are those that the workflow was started with. Without eager dispatch, which would bypass
// the queue's order. No number of attempts: those that a 429 ends count as well.
const { callClaude } = proxyActivities<BareActivities>({
  startToCloseTimeout: '10 minutes',
  heartbeatTimeout: '5 seconds',
  retry: { initialInterval: '1 second', nonRetryableErrorTypes: ['Refused'] },
  allowEagerDispatch: false,
});

export async function bareQuotaChain(input: QuotaInput): Promise<string> {
  const messages: Message[] = [];
  let answer = '';
  for (const call of CALLS) {
    messages.push({ role: 'user', text: turnOf(call, input) });
    answer = await callClaude(messages);
    messages.push({ role: 'assistant', text: answer });
  }
  return answer;
}
