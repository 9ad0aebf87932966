/** A history (JSON) without what replay does not need and what would tell of the machine that recorded it. */
export function withoutMachine(history: string): string {
  const blank = (key: string, value: unknown): unknown =>
    key === 'stackTrace' ? '' : key === 'identity' ? 'recorder' : value;
  return JSON.stringify(JSON.parse(history), blank, 1);
}
