import { defineStep } from '../../src/agents/define.js';

interface Claim {
  readonly claim: string;
}

/** The steps of a user's chain in two versions: the prompts differ, and the second has a step more. */
export function claimSteps(version: 1 | 2) {
  const model = 'claude-haiku-5-5';
  return {
    readClaim: defineStep({ model, prompt: ({ claim }: Claim) => `v${version}: read ${claim}.` }),
    checkClaim: defineStep({ model, prompt: ({ claim }: Claim) => `v${version}: check ${claim}.` }),
    decideClaim: defineStep({ model, prompt: ({ claim }: Claim) => `v${version}: decide ${claim}.` }),
  };
}

export type ClaimSteps = ReturnType<typeof claimSteps>;
