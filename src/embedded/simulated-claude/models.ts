import type Anthropic from '@anthropic-ai/sdk';

/** A model that the simulator knows. */
export interface SimulatedModel {
  readonly id: string;
  readonly displayName: string;
  /** Models of one class share their rate limits, as with the real API. */
  readonly modelClass: string;
  /** The most input tokens of one request. */
  readonly contextTokens: number;
  /** The most that `max_tokens` may ask for. */
  readonly maxOutputTokens: number;
  /** The shortest prefix that the prompt cache keeps, in tokens. */
  readonly minimumCacheableTokens: number;
  readonly createdAt: string;
}

/**
 * The current models. Windows are a million tokens, as the model pages say. The minimum for the cache is 1,024 for
 * Sonnet and Opus; for Haiku it is 512.
 */
export const SIMULATED_MODELS: readonly SimulatedModel[] = [
  {
    id: 'claude-haiku-5-5',
    displayName: 'Claude Haiku 5.5 (simulated)',
    modelClass: 'haiku',
    contextTokens: 1_000_000,
    maxOutputTokens: 128_000,
    minimumCacheableTokens: 512,
    createdAt: '2026-10-01T00:00:00Z',
  },
  {
    id: 'claude-sonnet-5-5',
    displayName: 'Claude Sonnet 5.5 (simulated)',
    modelClass: 'sonnet',
    contextTokens: 1_000_000,
    maxOutputTokens: 128_000,
    minimumCacheableTokens: 1_024,
    createdAt: '2026-09-01T00:00:00Z',
  },
  {
    id: 'claude-opus-5-5',
    displayName: 'Claude Opus 5.5 (simulated)',
    modelClass: 'opus',
    contextTokens: 1_000_000,
    maxOutputTokens: 128_000,
    minimumCacheableTokens: 1_024,
    createdAt: '2026-08-01T00:00:00Z',
  },
];

const YES = { supported: true };
const NO = { supported: false };

/** What `GET /v1/models/:id` answers. */
export function modelInfo(model: SimulatedModel): Anthropic.ModelInfo {
  const line = (['haiku', 'sonnet', 'opus'] as const).find((name) => name === model.modelClass) ?? null;
  return {
    id: model.id,
    type: 'model',
    display_name: model.displayName,
    created_at: model.createdAt,
    deprecated_at: null,
    retires_at: null,
    lifecycle: 'active',
    line,
    max_input_tokens: model.contextTokens,
    max_tokens: model.maxOutputTokens,
    capabilities: {
      batch: NO,
      citations: NO,
      code_execution: NO,
      context_management: {
        supported: false,
        clear_thinking_20251015: null,
        clear_tool_uses_20250919: null,
        compact_20260112: null,
      },
      effort: { supported: false, low: NO, medium: NO, high: NO, xhigh: null, max: NO },
      image_input: NO,
      pdf_input: NO,
      server_tools: { supported: false, code_execution: NO, web_search: NO },
      structured_outputs: YES,
      thinking: { supported: false, types: { adaptive: NO, between_tools: NO, disabled: YES, enabled: NO } },
    },
  };
}
