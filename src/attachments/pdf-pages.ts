import { inflateSync } from 'node:zlib';

const PAGE = /\/Type\s*\/Page(?![A-Za-z])/g;

/** The dictionary and the beginning of a stream of packed objects: since PDF 1.5 page objects may stand in one. */
const OBJECT_STREAM = /\/Type\s*\/ObjStm.{0,1000}?>>\s*stream\r?\n/gs;

/** The most that the streams may unpack to, all together: a small file can hold gigabytes. */
const MAX_UNPACKED_BYTES = 64_000_000;

/**
 * Pages of a PDF document, for the estimate of its tokens. It counts page objects instead of following the document's
 * references: pages that an edit has replaced are counted too, and a document that hides them (an encrypted one) counts
 * as one page. The provider decides; its count corrects the estimates that follow.
 */
export function countPdfPages(bytes: Uint8Array): number {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString('latin1');
  let pages = count(text);
  let room = MAX_UNPACKED_BYTES;
  for (const match of text.matchAll(OBJECT_STREAM)) {
    const objects = unpack(buffer.subarray(match.index + match[0].length), room);
    if (objects === null) break;
    room -= objects.length;
    pages += count(objects);
  }
  return Math.max(1, pages);
}

function count(text: string): number {
  return text.match(PAGE)?.length ?? 0;
}

/**
 * What a deflated stream holds, bytes after its end ignored; null when that is more than `room`. Nothing when it is packed
 * in another way, or encrypted.
 */
function unpack(stream: Buffer, room: number): string | null {
  try {
    return inflateSync(stream, { maxOutputLength: Math.max(1, room) }).toString('latin1');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? null : '';
  }
}
