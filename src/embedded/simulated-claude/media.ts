import { inspectAttachment } from '../../attachments/inspect.js';
import { mediaTokens } from '../../attachments/media-tokens.js';
import { IMAGE_TYPES } from '../../contracts/attachments.js';
import { ApiError } from './api-error.js';

/** An image or a PDF page that is not in the request: the documentation's figure for a full-size image. */
const ELSEWHERE_TOKENS = 1_600;

type Source = { readonly type?: unknown; readonly media_type?: unknown; readonly data?: unknown } | undefined;

/** Checks the source of an image or document block as the real API does. Throws {@link ApiError} 400. */
export function checkMedia(type: 'image' | 'document', source: Source, path: string): void {
  if (typeof source !== 'object' || source === null) throw new ApiError(400, `${path}.${type}.source: Field required`);
  if (source.type !== 'base64') return;
  const at = `${path}.${type}.source.base64`;
  const allowed: readonly unknown[] = type === 'image' ? IMAGE_TYPES : ['application/pdf'];
  if (!allowed.includes(source.media_type)) {
    throw new ApiError(400, `${at}.media_type: Input should be ${allowed.map((name) => `'${name}'`).join(' or ')}`);
  }
  if (typeof source.data !== 'string') throw new ApiError(400, `${at}.data: Field required`);
  if (source.data === '') throw new ApiError(400, `${at}: ${type} cannot be empty`);
  const bytes = Buffer.from(source.data, 'base64');
  // Node passes over what is not base64. No regular expression: on megabytes it runs out of stack.
  if (bytes.toString('base64') !== source.data) throw new ApiError(400, `${at}: invalid base64 data`);
  let found: string;
  try {
    found = inspectAttachment(bytes).mediaType;
  } catch (error) {
    throw new ApiError(400, `${at}.data: Could not process ${type}: ${String(error)}`);
  }
  if (found !== source.media_type) {
    throw new ApiError(400, `${at}.data: The ${type} is ${found}, but the media type says ${source.media_type}`);
  }
}

/** Tokens of an image or document block that was checked. */
export function mediaBlockTokens(source: Source): number {
  if (source?.type !== 'base64') return ELSEWHERE_TOKENS;
  return mediaTokens(inspectAttachment(Buffer.from(source.data as string, 'base64')));
}
