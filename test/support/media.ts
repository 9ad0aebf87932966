import { crc32, deflateSync } from 'node:zlib';

/** A PNG image of one colour. With `padding`, a comment of so many bytes makes its file larger. */
export function png(width: number, height: number, padding = 0): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // One bit of grey for each pixel.
  header.set([1, 0, 0, 0, 0], 8);
  const rows = Buffer.alloc(height * (1 + Math.ceil(width / 8)));
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    ...(padding === 0 ? [] : [chunk('tEXt', Buffer.alloc(padding, 'x'))]),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

/** A PDF document of empty pages; `packed` puts its objects into a compressed stream, as PDF 1.5 and later may. */
export function pdf(pages: number, { packed = false, padding = 0, packedPadding = 0 } = {}): Buffer {
  const kids = Array.from({ length: pages }, (_, index) => `${index + 3} 0 R`).join(' ');
  const objects = [
    '<< /Type /Catalog /Pages 2 0 R >>',
    `<< /Type /Pages /Kids [${kids}] /Count ${pages} >>`,
    ...Array.from({ length: pages }, () => '<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>'),
  ];
  const body = packed ? packedObjects(objects, packedPadding) : Buffer.from(plainObjects(objects), 'latin1');
  const comment = Buffer.from(`%${'x'.repeat(padding)}\n`, 'latin1');
  return Buffer.concat([Buffer.from('%PDF-1.7\n', 'latin1'), comment, body, Buffer.from('%%EOF\n', 'latin1')]);
}

function plainObjects(objects: readonly string[]): string {
  const written = objects.map((object, index) => `${index + 1} 0 obj\n${object}\nendobj\n`).join('');
  return `${written}trailer\n<< /Root 1 0 R /Size ${objects.length + 1} >>\n`;
}

function packedObjects(objects: readonly string[], padding: number): Buffer {
  const index = objects
    .map((_, at) => `${at + 1} ${objects.slice(0, at).join('\n').length + (at === 0 ? 0 : 1)}`)
    .join(' ');
  const packed = deflateSync(Buffer.from(`${index}\n${objects.join('\n')}${' '.repeat(padding)}`, 'latin1'));
  const dictionary = `<< /Type /ObjStm /N ${objects.length} /First ${index.length + 1} /Filter /FlateDecode /Length ${packed.length} >>`;
  return Buffer.concat([
    Buffer.from(`99 0 obj\n${dictionary}\nstream\r\n`, 'latin1'),
    packed,
    Buffer.from('\nendstream\nendobj\n', 'latin1'),
  ]);
}
