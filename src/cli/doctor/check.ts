import { setTimeout as pause } from 'node:timers/promises';
import { HoldfastError } from '../../contracts/errors.js';

/** `warning`: it works, or could, without; `problem`: what was asked for cannot work. */
export type CheckState = 'ok' | 'warning' | 'problem';

export interface Check {
  readonly name: string;
  readonly state: CheckState;
  readonly message: string;
  /** What to do; null when there is nothing to do. */
  readonly remedy: string | null;
}

/** The longest that one check may take, in milliseconds. */
export const CHECK_MS = 8_000;

type Finding = Omit<Check, 'name'>;

export const ok = (message: string): Finding => ({ state: 'ok', message, remedy: null });
export const warning = (message: string, remedy: string | null = null): Finding => ({
  state: 'warning',
  message,
  remedy,
});
export const problem = (message: string, remedy: string): Finding => ({ state: 'problem', message, remedy });

/** Runs one check: what it throws is a problem, and so is having no answer in time. */
export async function check(name: string, look: () => Finding | Promise<Finding>): Promise<Check> {
  const timer = new AbortController();
  try {
    const late = pause(
      CHECK_MS,
      problem(`No answer within ${CHECK_MS / 1_000} s.`, 'Look at its server and the network.'),
      {
        signal: timer.signal,
      },
    );
    late.catch(() => {});
    return { name, ...(await Promise.race([Promise.resolve().then(look), late])) };
  } catch (error) {
    return { name, ...fromError(error) };
  } finally {
    timer.abort();
  }
}

function fromError(error: unknown): Finding {
  if (error instanceof HoldfastError) return problem(error.message, error.remedy);
  const message = error instanceof Error ? error.message : String(error);
  return problem(`The check failed: ${message}`, 'Read the cause.');
}

/** Takes passwords out of URLs, and the given secrets out of a text. */
export function redact(text: string, secrets: readonly (string | undefined)[]): string {
  let clean = text.replaceAll(/\b([a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):[^\s/@]*@/gi, '$1:…@');
  for (const secret of secrets) if (secret) clean = clean.replaceAll(secret, '…');
  return clean;
}
