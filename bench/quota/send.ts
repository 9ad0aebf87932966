import { setMaxListeners } from 'node:events';
import Anthropic from '@anthropic-ai/sdk';
import { type Message, requestOf, textOf } from '../bare/activities.js';

export type Send = (messages: readonly Message[]) => Promise<string>;

/** Calls Claude as the workers do: streamed, and with the same bodies. */
export function sender(baseURL: string, signal: AbortSignal, maxRetries: number): Send {
  // One for each open call.
  setMaxListeners(0, signal);
  const client = new Anthropic({ apiKey: 'simulated', baseURL, maxRetries });
  return async (messages) => textOf(await client.messages.stream(requestOf(messages), { signal }).finalMessage());
}
