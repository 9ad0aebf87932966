import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { type Application, defineChain, defineStep } from '../../src/index.js';
import type { CustomerEvent } from './scoped-chains.js';

const model = 'claude-haiku-5-5';
const prompt = ({ customer, event }: CustomerEvent) => `${customer}: ${event}`;
const ofCustomer = { scope: 'customer', key: ({ customer }: CustomerEvent) => customer };

export const scopedSteps = {
  read: defineStep({ model, prompt }),
  write: defineStep({ model, prompt, scopes: ['crm'] }),
  look: defineStep({ model, prompt, scopes: ['crm', ofCustomer] }),
  send: defineStep({ model, prompt, scopes: ['mail'] }),
};

const event = z.object({ customer: z.string(), event: z.string() });

export const scopedApp = {
  scopes: {
    crm: { kind: 'integration', limit: 2 },
    customer: { kind: 'entity' },
    mail: { kind: 'channel', rate: { count: 2, periodMs: 1_000 } },
  },
  steps: scopedSteps,
  chains: {
    handleEvent: defineChain({
      input: event,
      steps: ['read'],
      scopes: { take: [ofCustomer], releaseOnHold: false },
    }),
    reviewEvent: defineChain({
      input: event,
      steps: ['read'],
      scopes: { take: [ofCustomer], releaseOnHold: true },
    }),
    lookUp: defineChain({ input: z.array(event), steps: ['write', 'look'] }),
    sendAll: defineChain({ input: z.array(event), steps: ['send'] }),
    lookThenWrite: defineChain({ input: event, steps: ['look', 'read'] }),
  },
  workflowsPath: fileURLToPath(new URL('./scoped-chains.ts', import.meta.url)),
} satisfies Application;
