import { describe, expect, test } from 'vitest';
import { attachmentSchema } from '../../src/agents/attachment-schema.js';
import { inspectAttachment } from '../../src/attachments/inspect.js';
import { mediaTokens } from '../../src/attachments/media-tokens.js';
import { pdf, png } from '../support/media.js';

/** Headers of the other kinds, which say 3 by 2 pixels. */
const GIF = Buffer.concat([Buffer.from('GIF89a', 'latin1'), Buffer.from([3, 0, 2, 0, 0, 0, 0])]);
const JPEG = Buffer.from('ffd8ffe000104a46494600010100000100010000ffc0000b080002000301011100ffd9', 'hex');
const WEBP = Buffer.concat([
  Buffer.from('RIFF\x1a\0\0\0WEBPVP8L\x0e\0\0\0\x2f', 'latin1'),
  Buffer.from([2, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
]);

describe('inspectAttachment', () => {
  test.each([
    ['image/png', png(3, 2)],
    ['image/gif', GIF],
    ['image/jpeg', JPEG],
    ['image/webp', WEBP],
  ])('finds out that bytes are %s, and their size in pixels', (mediaType, bytes) => {
    expect(inspectAttachment(bytes)).toEqual({ mediaType, bytes: bytes.length, width: 3, height: 2 });
  });

  test.each([
    ['plain', pdf(7)],
    ['packed', pdf(7, { packed: true })],
  ])('counts the pages of a PDF document whose objects are %s', (_, bytes) => {
    expect(inspectAttachment(bytes)).toEqual({ mediaType: 'application/pdf', bytes: bytes.length, pages: 7 });
  });

  test('unpacks no more of a document than is sensible', () => {
    const bomb = pdf(1, { packed: true, packedPadding: 70_000_000 });
    expect(bomb.length).toBeLessThan(100_000);
    expect(inspectAttachment(Buffer.concat([bomb, pdf(3, { packed: true })]))).toMatchObject({ pages: 1 });
  });

  test('counts a document that hides its pages as one', () => {
    expect(inspectAttachment(Buffer.from('%PDF-1.7\n5 0 obj\n<< /Type /ObjStm >> stream\r\nsecret'))).toMatchObject({
      pages: 1,
    });
  });

  test.each([
    ['is empty', Buffer.alloc(0)],
    ['is no image and no PDF', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')],
    ['is no image and no PDF', Buffer.from('PK\u0003\u0004 a document of a word processor')],
    ['image/png attachment is damaged', png(3, 2).subarray(0, 14)],
    ['image/jpeg attachment is damaged', JPEG.subarray(0, 8)],
    ['image/png attachment is damaged', png(0, 2)],
  ])('refuses what %s', (why, bytes) => {
    expect(() => inspectAttachment(bytes)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }));
    expect(() => inspectAttachment(bytes)).toThrow(why);
  });

  test.each([
    ['takes at most 7500000', png(3, 2, 7_500_000)],
    ['a side has at most 8000', png(8_001, 1)],
    ['takes at most 24000000', pdf(1, { padding: 24_000_000 })],
  ])('refuses what is too large: %s', (why, bytes) => {
    expect(() => inspectAttachment(bytes)).toThrow(expect.objectContaining({ code: 'INPUT_TOO_LARGE' }));
    expect(() => inspectAttachment(bytes)).toThrow(why);
  });

  test('takes what is just within the limits', () => {
    expect(inspectAttachment(png(8_000, 1))).toMatchObject({ width: 8_000 });
    expect(inspectAttachment(png(3, 2, 7_499_000))).toMatchObject({ width: 3 });
  });
});

// By patches of 28 by 28 pixels, after the provider has scaled down what is larger than 2,576 pixels or 4,784 tokens.
test.each([
  [200, 200, 64],
  [1_000, 1_000, 1_296],
  [28, 28, 1],
  [29, 1, 2],
  [2_576, 28, 92],
  [5_152, 56, 92],
  [8_000, 8_000, 4_784],
])('an image of %d by %d pixels has %d tokens', (width, height, tokens) => {
  expect(mediaTokens({ mediaType: 'image/png', bytes: 1, width, height })).toBe(tokens);
});

test('a PDF document has 3,000 tokens a page', () => {
  expect(mediaTokens({ mediaType: 'application/pdf', bytes: 1, pages: 4 })).toBe(12_000);
});

test('the schema takes a reference and nothing else', () => {
  const reference = { blob: 'a'.repeat(64), mediaType: 'image/png' };
  expect(attachmentSchema.parse(reference)).toEqual(reference);
  for (const wrong of ['a.png', { ...reference, blob: '../a' }, { ...reference, mediaType: 'image/tiff' }, null]) {
    expect(attachmentSchema.safeParse(wrong).success).toBe(false);
  }
});
