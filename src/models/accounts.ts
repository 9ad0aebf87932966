import type { ModelPort, ModelRequest } from '../contracts/models.js';

/** One port for several accounts: each request goes to that of its account. */
export function withAccounts(main: ModelPort, accounts: ReadonlyMap<string, ModelPort>): ModelPort {
  const portOf = ({ account }: ModelRequest): ModelPort => {
    const port = account === undefined ? main : accounts.get(account);
    // Planning holds such a call before it comes here.
    if (port === undefined) throw new Error(`This worker has no account ${account}.`);
    return port;
  };
  return {
    ...(main.provider && { provider: main.provider }),
    call: async (request, options) => portOf(request).call(request, options),
    countTokens: async (request, options) => portOf(request).countTokens(request, options),
  };
}
