/** What a pause is of: with one of these everything that fits it, with none of them everything. */
export interface PauseSelector {
  readonly tenant?: string;
  /** Type or id of a chain. */
  readonly chain?: string;
  readonly lane?: string;
  readonly model?: string;
}

export const PAUSE_KINDS = ['tenant', 'chain', 'lane', 'model'] as const;
export type PauseKind = (typeof PAUSE_KINDS)[number] | 'all';

/** The one thing that a selector names. Undefined when it names several. */
export function pauseKeyOf(selector: PauseSelector): { readonly kind: PauseKind; readonly value: string } | undefined {
  const named = PAUSE_KINDS.filter((kind) => selector[kind] !== undefined);
  const [kind] = named;
  if (named.length > 1) return undefined;
  return kind === undefined ? { kind: 'all', value: '' } : { kind, value: selector[kind] as string };
}

/** A pause as people are told of it. */
export interface PauseStatus {
  readonly kind: PauseKind;
  /** The tenant, chain, lane or model; null for a pause of everything. */
  readonly value: string | null;
  readonly by: string;
  readonly reason: string | null;
  /** ISO 8601. */
  readonly since: string;
  /** Chains with a call that waits for its end. */
  readonly parkedChains: number;
  /** Model calls under it that were open when it began and have not ended. */
  readonly openCalls: number;
}
