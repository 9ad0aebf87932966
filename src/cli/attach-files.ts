import { readFile } from 'node:fs/promises';
import type { HoldfastClient } from '../client/holdfast-client.js';
import { HoldfastError } from '../contracts/errors.js';

/** Stores the files of `--attach field=FILE` and puts a reference to each into its field of the input. */
export async function attachFiles(
  client: HoldfastClient,
  input: unknown,
  attach: readonly string[],
  tenant: string | undefined,
): Promise<unknown> {
  if (attach.length === 0) return input;
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    const remedy = 'Give an object as --input, if only {}.';
    throw new HoldfastError('INVALID_INPUT', '--attach needs an input that has fields.', remedy);
  }
  const fields = new Map<string, unknown>();
  for (const spec of attach) {
    const [, field, file] = /^([^=]+)=(.+)$/s.exec(spec) ?? [];
    if (field === undefined || file === undefined) {
      throw new HoldfastError('BAD_USAGE', `--attach ${JSON.stringify(spec)} is not of the form field=FILE.`, HELP);
    }
    if (fields.has(field) || Object.hasOwn(input, field)) {
      throw new HoldfastError('BAD_USAGE', `The field ${field} of the input is given twice.`, HELP);
    }
    fields.set(field, await attachFile(client, file, tenant));
  }
  return { ...input, ...Object.fromEntries(fields) };
}

const HELP = 'Write e.g. --attach scan=invoice.pdf.';

async function attachFile(client: HoldfastClient, file: string, tenant: string | undefined): Promise<unknown> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? String(error);
    const message = `The file ${file} cannot be read (${why}).`;
    throw new HoldfastError('INVALID_INPUT', message, 'Name a file that exists.', { cause: error });
  }
  try {
    return await client.attach(bytes, tenant === undefined ? {} : { tenant });
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    throw new HoldfastError(error.code, `${file}: ${error.message}`, error.remedy, { cause: error });
  }
}
