/** The limits of a model, in tokens. */
export interface ContextWindow {
  /** Prompt and answer together. */
  readonly contextTokens: number;
  /** The most that one answer may have. */
  readonly maxOutputTokens: number;
}

/** Limits by exact model id. */
export type ContextWindowTable = Readonly<Record<string, ContextWindow>>;

/** As of 2026-11-21, from the model pages on platform.claude.com (1M context, 128K output for the whole generation). */
export const CONTEXT_WINDOWS: ContextWindowTable = {
  'claude-sonnet-5-5': { contextTokens: 1_000_000, maxOutputTokens: 128_000 },
  'claude-opus-5-5': { contextTokens: 1_000_000, maxOutputTokens: 128_000 },
  'claude-haiku-5-5': { contextTokens: 1_000_000, maxOutputTokens: 128_000 },
};

/**
 * The limits of a model, or null for one that is not in the table: then the provider decides, because a guess would
 * refuse calls that it accepts. `overrides` stand over the table, model by model.
 */
export function contextWindowOf(model: string, overrides: ContextWindowTable = {}): ContextWindow | null {
  for (const table of [overrides, CONTEXT_WINDOWS]) {
    if (Object.hasOwn(table, model)) return table[model] ?? null;
  }
  return null;
}
