import { condition, defineSignal, isCancellation, proxyActivities, setHandler } from '@temporalio/workflow';
import { type BenchInput, promptOf } from '../prompts.js';
import type { BareActivities, Message } from './activities.js';

const { callClaude } = proxyActivities<BareActivities>({
  startToCloseTimeout: '10 minutes',
  heartbeatTimeout: '5 seconds',
  retry: { initialInterval: '1 second', maximumAttempts: 4, nonRetryableErrorTypes: ['Refused'] },
});

export const tryAgainSignal = defineSignal('tryAgain');

/** The same calls as `benchChain`: the conversation is a variable of the workflow and travels with each call. */
export async function bareChain({ document, steps }: BenchInput): Promise<string> {
  const messages: Message[] = [];
  let answer = '';
  for (let number = 1; number <= steps; number += 1) {
    messages.push({ role: 'user', text: promptOf(number, number === 1 ? document : undefined) });
    answer = await callClaude(messages);
    messages.push({ role: 'assistant', text: answer });
  }
  return answer;
}

/** Waits for a person when a call fails for good: what one writes by hand in the place of a hold. */
export async function bareHeldChain(input: BenchInput): Promise<string> {
  let tryAgain = false;
  setHandler(tryAgainSignal, () => {
    tryAgain = true;
  });
  for (;;) {
    try {
      return await bareChain(input);
    } catch (error) {
      if (isCancellation(error)) throw error;
      tryAgain = false;
      await condition(() => tryAgain);
    }
  }
}
