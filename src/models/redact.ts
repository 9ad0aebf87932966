import { APIError } from '@anthropic-ai/sdk';

/** Proxies answer with whole pages of HTML; nobody reads more than this many characters of them. */
const MAX_MESSAGE_CHARS = 500;

const REDACTED = '[redacted]';

/** One line that says what failed: status, code or type, message, and the cause that fetch hides. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof APIError && (thrown.status !== undefined || thrown.type !== null)) {
    const what = [thrown.status, thrown.errorCode ?? thrown.type].filter((part) => part != null).join(' ');
    return thrown.apiMessage === null ? shortened(thrown.message) : shortened(`${what}: ${thrown.apiMessage}`);
  }
  if (!(thrown instanceof Error)) return shortened(`The call threw ${JSON.stringify(thrown) ?? String(thrown)}.`);
  const messages: string[] = [];
  for (let error: unknown = thrown, depth = 0; error instanceof Error && depth < 5; error = error.cause, depth++) {
    const code = (error as NodeJS.ErrnoException).code;
    const message = error.message || (typeof code === 'string' ? code : error.name);
    if (!messages.some((earlier) => earlier.includes(message))) messages.push(message);
  }
  return shortened(
    messages.map((message, index) => (index < messages.length - 1 ? message.replace(/\.$/, '') : message)).join(': '),
  );
}

/** The text without the secret. */
export function redactedText(text: string, secret: string | undefined): string {
  return secret === undefined || secret === '' ? text : text.replaceAll(secret, REDACTED);
}

/**
 * The thrown value as a `cause`: itself, unless its text anywhere contains the secret. Errors are serialized into
 * Temporal's history with stack and causes, and Node puts header values into some of its messages.
 */
export function redactedCause(thrown: unknown, secret: string | undefined): unknown {
  if (secret === undefined || secret === '') return thrown;
  for (let error = thrown, depth = 0; error != null && depth < 10; error = (error as Error).cause, depth++) {
    const text = error instanceof Error ? `${error.message} ${error.stack ?? ''}` : String(error);
    const body = error instanceof APIError ? (JSON.stringify(error.error) ?? '') : '';
    if (text.includes(secret) || body.includes(secret)) return new Error(redactedText(messageOf(thrown), secret));
  }
  return thrown;
}

function shortened(text: string): string {
  return text.length <= MAX_MESSAGE_CHARS ? text : `${text.slice(0, MAX_MESSAGE_CHARS)}…`;
}
