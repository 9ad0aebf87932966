import Anthropic, { APIConnectionError, APIError } from '@anthropic-ai/sdk';

/** What asking for the list of models tells of a provider. */
export type ModelProbe =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'unreachable'; readonly why: string }
  /** It answers, and has no such list: nothing can be said of the key without paying. */
  | { readonly kind: 'unknown'; readonly why: string };

/** Asks a provider for its list of models, which costs nothing. Never throws for what the provider says. */
export async function probeModel(
  { apiKey, baseUrl }: { readonly apiKey: string; readonly baseUrl?: string },
  timeoutMs: number,
): Promise<ModelProbe> {
  const client = new Anthropic({ apiKey, maxRetries: 0, timeout: timeoutMs, ...(baseUrl && { baseURL: baseUrl }) });
  try {
    await client.models.list({ limit: 1 });
    return { kind: 'accepted' };
  } catch (error) {
    if (error instanceof APIConnectionError) return { kind: 'unreachable', why: rootMessage(error) };
    if (!(error instanceof APIError)) throw error;
    const why = `${error.status} ${error.type ?? ''}`.trim();
    return { kind: error.status === 401 || error.status === 403 ? 'refused' : 'unknown', why };
  }
}

function rootMessage(error: Error): string {
  let root = error;
  while (root.cause instanceof Error) root = root.cause;
  return root.message || String((root as { code?: unknown }).code ?? root.name);
}
