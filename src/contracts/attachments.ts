/** Kinds of files that a prompt can hold: what the Messages API takes. */
export const IMAGE_TYPES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'] as const;
export const MEDIA_TYPES = [...IMAGE_TYPES, 'application/pdf'] as const;

export type ImageType = (typeof IMAGE_TYPES)[number];
export type MediaType = (typeof MEDIA_TYPES)[number];

/**
 * A reference to an image or a PDF document that `client.attach` has stored. It is small JSON, and may stand anywhere in
 * the input of a chain or a step; the bytes stay in the store until a model call needs them.
 */
export interface Attachment {
  /** SHA-256 (hex) of the bytes: their address among the tenant's blobs. */
  readonly blob: string;
  readonly mediaType: MediaType;
}

/** A piece of a user turn. Images do best before the text that is about them. */
export type PromptPart = string | Attachment;

/** What a prompt function gives: a text, or texts and attachments in order. */
export type Prompt = string | readonly PromptPart[];
