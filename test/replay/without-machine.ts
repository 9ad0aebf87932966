/** A history (JSON) without what replay does not need and what would tell of the machine that recorded it. */
export function withoutMachine(history: string): string {
  const blank = (key: string, value: unknown): unknown => {
    if (key === 'stackTrace') return '';
    if (key === 'identity') return 'recorder';
    // The name of a worker's own queue has its process and host in it.
    return isSticky(value) ? { ...value, name: 'recorder' } : value;
  };
  return JSON.stringify(JSON.parse(history), blank, 1);
}

function isSticky(value: unknown): value is object {
  return value instanceof Object && 'kind' in value && value.kind === 'TASK_QUEUE_KIND_STICKY';
}
