/** The texts of all payloads in a history or in some of its events, as they are stored there: not decoded. */
export function* historyTexts(value: unknown): Generator<string> {
  if (value instanceof Uint8Array) yield Buffer.from(value).toString('latin1');
  else if (Array.isArray(value)) for (const item of value) yield* historyTexts(item);
  else if (value !== null && typeof value === 'object') {
    for (const item of Object.values(value)) yield* historyTexts(item);
  }
}
