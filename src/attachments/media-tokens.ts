import type { Inspected } from './inspect.js';

/** Of platform.claude.com, Vision, as of 2026-11-21: an image is cut into patches of 28 by 28 pixels, a token each. */
const PATCH_PIXELS = 28;

/** Larger images are scaled down by the provider. The limits of its models with high resolution, the largest ones. */
const MAX_SIDE_PIXELS = 2_576;
const MAX_IMAGE_TOKENS = 4_784;

/** Of platform.claude.com, PDF support: 1,500 to 3,000 tokens a page, by its density. */
const TOKENS_PER_PAGE = 3_000;

/** Tokens of an image or a PDF document by the provider's own rules, on the high side. */
export function mediaTokens(media: Inspected): number {
  if (media.mediaType === 'application/pdf') return media.pages * TOKENS_PER_PAGE;
  const scale = Math.min(1, MAX_SIDE_PIXELS / Math.max(media.width, media.height));
  const patches = (pixels: number) => Math.ceil((pixels * scale) / PATCH_PIXELS);
  return Math.min(patches(media.width) * patches(media.height), MAX_IMAGE_TOKENS);
}
