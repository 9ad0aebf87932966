/**
 * Custom search attributes, registered at start-up. SQL visibility allows 10 Keyword and 3 KeywordList attributes per
 * namespace; the lists are lists because parallel steps can be held at once.
 */
export const SEARCH_ATTRIBUTES = {
  state: { name: 'HoldfastState', type: 'KEYWORD' },
  tenant: { name: 'HoldfastTenant', type: 'KEYWORD' },
  holdKind: { name: 'HoldfastHoldKind', type: 'KEYWORD_LIST' },
  reason: { name: 'HoldfastReason', type: 'KEYWORD_LIST' },
  step: { name: 'HoldfastStep', type: 'KEYWORD_LIST' },
} as const;
