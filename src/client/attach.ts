import { inspectAttachment } from '../attachments/inspect.js';
import type { Attachment } from '../contracts/attachments.js';
import { DEFAULT_TENANT } from '../contracts/chains.js';
import { validTenant } from '../intake/validate.js';
import { putBlobs } from '../store/blobs.js';
import type { Store } from '../store/database.js';

export interface AttachOptions {
  /** Whose chains may use it. Default: `default`. */
  readonly tenant?: string;
}

/** Checks bytes before they are stored, so that a file which no model takes is refused where it comes from. */
export async function attach(store: Store, bytes: Uint8Array, { tenant }: AttachOptions): Promise<Attachment> {
  const owner = validTenant(tenant ?? DEFAULT_TENANT);
  const { mediaType } = inspectAttachment(bytes);
  const [blob] = await putBlobs(store.db, owner, [Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)]);
  return { blob: blob as string, mediaType };
}
