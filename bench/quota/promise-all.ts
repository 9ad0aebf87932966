import type { Message } from '../bare/activities.js';
import { CALLS, turnOf } from './prompts.js';
import { sender } from './send.js';
import type { StartSide } from './side.js';

/** The SDK's own number, 2, ends nine of ten chains within seconds; with these each one gets its turn. */
const RETRIES = 200;

/** `Promise.all` over all chains, with the retries of the SDK. */
export const startPromiseAll: StartSide = async (_plan, simulator) => {
  const abort = new AbortController();
  const send = sender(simulator.url, abort.signal, RETRIES);
  return {
    async run(chain) {
      const messages: Message[] = [];
      for (const call of CALLS) {
        messages.push({ role: 'user', text: turnOf(call, chain) });
        messages.push({ role: 'assistant', text: await send(messages) });
      }
    },
    stop: async () => abort.abort(),
  };
};
