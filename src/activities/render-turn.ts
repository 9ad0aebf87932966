import { base64Length, inspectAttachment, MEDIA_LIMITS } from '../attachments/inspect.js';
import { type Attachment, MEDIA_TYPES, type Prompt, type PromptPart } from '../contracts/attachments.js';
import { HoldfastError } from '../contracts/errors.js';
import type { ModelRequest, Turn, TurnBlock } from '../contracts/models.js';
import { stepFailure } from './step-failure.js';

/** Reads the bytes of attachments of the chain's tenant by address; those that it does not have are left out. */
export type ReadBlobs = (addresses: readonly string[]) => Promise<ReadonlyMap<string, Uint8Array>>;

/** The user turn of a prompt, and the bytes of all images and documents from the beginning of the conversation on. */
export interface RenderedTurn {
  readonly turn: Turn;
  readonly blobs: ModelRequest['blobs'];
}

/**
 * Makes a turn of what a prompt function gave. Its images and documents are described by their bytes, not by what the
 * reference says. Throws a step failure `malformed_payload` for an attachment that is missing, damaged or of another type.
 */
export async function renderTurn(
  prompt: Prompt,
  conversation: readonly Turn[],
  read: ReadBlobs,
): Promise<RenderedTurn> {
  const parts = partsOf(prompt);
  const earlier = mediaOf(conversation);
  const wanted = [...earlier, ...parts.filter((part) => typeof part !== 'string')].map(({ blob }) => blob);
  const blobs = wanted.length === 0 ? new Map<string, Uint8Array>() : await read([...new Set(wanted)]);
  for (const { blob } of earlier) if (!blobs.has(blob)) throw missing(blob);
  const content = parts.map((part) => (typeof part === 'string' ? textBlock(part) : mediaBlock(part, blobs)));
  const turn: Turn = { role: 'user', content };
  checkRequest([...conversation, turn]);
  return { turn, blobs: wanted.length === 0 ? undefined : blobs };
}

function textBlock(text: string): TurnBlock {
  return { type: 'text', text };
}

/** Checks what TypeScript promises: a prompt function may be JavaScript, and its input may come from anywhere. */
function partsOf(prompt: Prompt): readonly PromptPart[] {
  const parts: readonly unknown[] = Array.isArray(prompt) ? prompt : [prompt];
  if (parts.length === 0) throw unusable('The prompt function gave an empty list.');
  const wrong = parts.findIndex((part) => typeof part !== 'string' && !isAttachment(part));
  if (wrong === -1) return parts as readonly PromptPart[];
  throw unusable(`Part ${wrong + 1} of the prompt is neither a text nor an attachment.`);
}

function isAttachment(part: unknown): part is Attachment {
  const { blob, mediaType } = Object(part) as Partial<Attachment>;
  return typeof blob === 'string' && (MEDIA_TYPES as readonly unknown[]).includes(mediaType);
}

function mediaBlock({ blob, mediaType }: Attachment, blobs: ReadonlyMap<string, Uint8Array>): TurnBlock {
  const bytes = blobs.get(blob);
  if (bytes === undefined) throw missing(blob);
  const found = inspected(blob, bytes);
  if (found.mediaType !== mediaType) throw unusable(`Attachment ${blob} is ${found.mediaType}, not ${mediaType}.`);
  return found.mediaType === 'application/pdf'
    ? { type: 'document', blob, ...found }
    : { type: 'image', blob, ...found };
}

function inspected(blob: string, bytes: Uint8Array) {
  try {
    return inspectAttachment(bytes);
  } catch (error) {
    const message = error instanceof HoldfastError ? `${error.message} ${error.remedy}` : String(error);
    throw unusable(`Attachment ${blob} cannot be sent: ${message}`, error);
  }
}

function mediaOf(turns: readonly Turn[]) {
  return turns.flatMap(({ content }) => content.filter((block) => block.type !== 'text'));
}

/** The limits that no attachment reaches by itself. The provider refuses what is over them, after it was sent. */
function checkRequest(turns: readonly Turn[]): void {
  const media = mediaOf(turns);
  const bytes = media.reduce((sum, block) => sum + base64Length(block.bytes), 0);
  if (bytes > MEDIA_LIMITS.requestBytes) {
    const most = MEDIA_LIMITS.requestBytes;
    throw unusable(`The attachments of the conversation have ${bytes} bytes as base64; a request has at most ${most}.`);
  }
  const images = media.filter((block) => block.type === 'image');
  if (images.length > MEDIA_LIMITS.imagesPerRequest) {
    throw unusable(
      `The conversation has ${images.length} images; the provider takes ${MEDIA_LIMITS.imagesPerRequest}.`,
    );
  }
  const most = MEDIA_LIMITS.imagePixelsOfMany;
  const large = images.find(({ width, height }) => Math.max(width, height) > most);
  if (images.length > MEDIA_LIMITS.manyImages && large !== undefined) {
    throw unusable(
      `Image ${large.blob} has ${large.width}×${large.height} pixels; among ${images.length} images a side has at most ${most}.`,
    );
  }
}

function missing(blob: string): Error {
  return unusable(`The chain's tenant has no attachment ${blob}. Attach the file for this tenant, then retry.`);
}

function unusable(message: string, cause?: unknown): Error {
  return stepFailure('malformed_payload', message, cause);
}
