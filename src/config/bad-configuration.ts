import type { z } from 'zod';
import { HoldfastError } from '../contracts/errors.js';
import { SECRET_FIELDS } from './settings-schema.js';

const MAX_SHOWN_CHARS = 100;

/** An error about one source of configuration: a flag, a variable, or a file with its field. */
export function badConfiguration(message: string, remedy: string, cause?: unknown): HoldfastError {
  return new HoldfastError('BAD_CONFIGURATION', message, remedy, cause === undefined ? undefined : { cause });
}

/** Says which field of a file is wrong and, unless it is secret, with which value. */
export function badField(file: string, settings: unknown, { path, message, code }: z.core.$ZodIssue): HoldfastError {
  const field = path.map(String).join('.');
  const source = field === '' ? file : `${file}: ${field}`;
  if (code === 'unrecognized_keys') return badSetting(source, field, undefined, message);
  return badSetting(source, field, valueAt(settings, path), message);
}

/** The same for a flag or a variable, which sets one field. */
export function badSetting(source: string, field: string, value: unknown, message: string): HoldfastError {
  const secret = SECRET_FIELDS.some((name) => field === name || field.startsWith(`${name}.`));
  const what = value === undefined || secret ? '' : ` is ${shown(value)}`;
  const why = message.charAt(0).toLowerCase() + message.slice(1);
  return badConfiguration(`${source}${what}: ${why}.`, `Correct ${source}, or remove it to use the default.`);
}

function shown(value: unknown): string {
  const text = (JSON.stringify(value) ?? String(value)).replace(/\/\/[^@/\s]*@/g, '//***@');
  return text.length <= MAX_SHOWN_CHARS ? text : `${text.slice(0, MAX_SHOWN_CHARS)}…`;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((found, key) => (found as Record<PropertyKey, unknown> | undefined)?.[key], value);
}
