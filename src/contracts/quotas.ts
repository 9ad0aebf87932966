/** The limits of a quota group: a provider's account and a class of models, counted for all workers together. */
export interface QuotaLimits {
  readonly requestsPerMinute: number;
  readonly inputTokensPerMinute: number;
  readonly outputTokensPerMinute: number;
  /** What may be taken at once after a pause, in seconds of the rate. A provider does not say it. */
  readonly burstSeconds: number;
  /** Part of the quota that waiting work of class `low` gets even when there is more urgent work; 0 for none. */
  readonly lowShare: number;
  /** Whether input tokens that are read from the provider's cache count. */
  readonly countCacheReads: boolean;
}

/** Until configuration or a provider's headers say otherwise. */
export const DEFAULT_QUOTA: QuotaLimits = {
  requestsPerMinute: 60,
  inputTokensPerMinute: 90_000,
  outputTokensPerMinute: 18_000,
  burstSeconds: 5,
  lowShare: 0,
  countCacheReads: false,
};

/** Tokens of a call as they count against its group: estimated before it, true after it. */
export interface QuotaUse {
  readonly input: number;
  readonly output: number;
}

/** What a provider's answer says of a group. A limit that it does not name is absent. */
export interface QuotaReading {
  readonly requests?: LimitReading;
  readonly inputTokens?: LimitReading;
  readonly outputTokens?: LimitReading;
}

export interface LimitReading {
  /** Per minute. */
  readonly limit: number;
  /** What was left when the provider answered. */
  readonly remaining: number;
}
