import { z } from 'zod';
import { type Attachment, MEDIA_TYPES } from '../contracts/attachments.js';

/** A reference that `client.attach` gave, within the input of a chain or a step. */
export const attachmentSchema: z.ZodType<Attachment, Attachment> = z.object({
  blob: z.string().regex(/^[0-9a-f]{64}$/, 'is no address of an attachment; client.attach gives one'),
  mediaType: z.enum(MEDIA_TYPES),
});
