import { imageSize } from 'image-size';
import { type ImageType, MEDIA_TYPES, type MediaType } from '../contracts/attachments.js';
import { HoldfastError } from '../contracts/errors.js';
import { countPdfPages } from './pdf-pages.js';

/** What the bytes of an attachment are. */
export type Inspected =
  | { readonly mediaType: ImageType; readonly bytes: number; readonly width: number; readonly height: number }
  | { readonly mediaType: 'application/pdf'; readonly bytes: number; readonly pages: number };

/** Limits of the Messages API, from platform.claude.com (Vision, PDF support, API overview), as of 2026-11-21. */
export const MEDIA_LIMITS = {
  /** Of a whole request. */
  requestBytes: 32_000_000,
  /** Of one image, as base64. */
  imageBase64Bytes: 10_000_000,
  /** Each side of an image. */
  imagePixels: 8_000,
  /** The same in a request with more than 20 images. */
  manyImages: 20,
  imagePixelsOfMany: 2_000,
  imagesPerRequest: 600,
} as const;

const REMEDY = `Attach a PNG, JPEG, GIF, WebP or PDF file.`;

/** Length of bytes when they are written as base64. */
export function base64Length(bytes: number): number {
  return 4 * Math.ceil(bytes / 3);
}

/**
 * Finds out from the bytes alone what an attachment is: a name or a declared type can be wrong, and the provider refuses
 * what does not match. Throws `INVALID_INPUT` and `INPUT_TOO_LARGE`.
 */
export function inspectAttachment(bytes: Uint8Array): Inspected {
  const mediaType = sniff(bytes);
  if (mediaType === undefined) {
    const what = bytes.length === 0 ? 'The attachment is empty.' : 'The attachment is no image and no PDF document.';
    throw new HoldfastError('INVALID_INPUT', what, REMEDY);
  }
  if (mediaType === 'application/pdf') {
    checkBytes('The PDF document', bytes.length, MEDIA_LIMITS.requestBytes, 'Split it.');
    return { mediaType, bytes: bytes.length, pages: countPdfPages(bytes) };
  }
  checkBytes('The image', bytes.length, MEDIA_LIMITS.imageBase64Bytes, 'Scale it down or compress it.');
  const { width, height } = sizeOf(mediaType, bytes);
  if (Math.max(width, height) > MEDIA_LIMITS.imagePixels) {
    const most = MEDIA_LIMITS.imagePixels;
    throw tooLarge(`The image has ${width}×${height} pixels; a side has at most ${most}.`, 'Scale it down.');
  }
  return { mediaType, bytes: bytes.length, width, height };
}

/** The media type by the first bytes. */
function sniff(bytes: Uint8Array): MediaType | undefined {
  const head = Buffer.from(bytes.subarray(0, 12)).toString('latin1');
  return MEDIA_TYPES.find((type) => MAGIC[type](head));
}

const MAGIC: Readonly<Record<MediaType, (head: string) => boolean>> = {
  'image/png': (head) => head.startsWith('\x89PNG\r\n\x1a\n'),
  'image/jpeg': (head) => head.startsWith('\xff\xd8\xff'),
  'image/gif': (head) => head.startsWith('GIF87a') || head.startsWith('GIF89a'),
  'image/webp': (head) => head.startsWith('RIFF') && head.endsWith('WEBP'),
  'application/pdf': (head) => head.startsWith('%PDF-'),
};

function sizeOf(mediaType: ImageType, bytes: Uint8Array): { width: number; height: number } {
  try {
    const { width, height } = imageSize(bytes);
    if (width > 0 && height > 0) return { width, height };
  } catch {
    // Whatever its parser stumbled over, the header is not whole.
  }
  throw new HoldfastError('INVALID_INPUT', `The ${mediaType} attachment is damaged: it has no size.`, REMEDY);
}

function checkBytes(what: string, bytes: number, most: number, remedy: string): void {
  if (base64Length(bytes) <= most) return;
  throw tooLarge(`${what} has ${bytes} bytes; the provider takes at most ${Math.floor(most / 4) * 3}.`, remedy);
}

function tooLarge(message: string, remedy: string): HoldfastError {
  return new HoldfastError('INPUT_TOO_LARGE', message, remedy);
}
