// PNG of 8-bit RGB or RGBA, straight from the bytes: a canvas would round colours under transparency.
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function chunk(name, data) {
  const bytes = new Uint8Array(data.length + 12), view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(data, 8);
  let sum = 0xffffffff;
  for (let at = 4; at < data.length + 8; at++) sum = TABLE[(sum ^ bytes[at]) & 255] ^ (sum >>> 8);
  view.setUint32(data.length + 8, ~sum >>> 0);
  return bytes;
}

export async function encodePng({ width, height, rgba, hasAlpha }) {
  const bands = hasAlpha ? 4 : 3, stride = width * bands + 1;
  const rows = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    rows[y * stride] = 2; // the difference to the pixel above
    for (let x = 0; x < width; x++) for (let band = 0; band < bands; band++) {
      const at = 4 * (y * width + x) + band;
      rows[y * stride + 1 + x * bands + band] = rgba[at] - (y ? rgba[at - 4 * width] : 0);
    }
  }
  const squeezed = new Response(new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate")));
  const header = new Uint8Array(13), view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, hasAlpha ? 6 : 2, 0, 0, 0], 8);
  const body = new Uint8Array(await squeezed.arrayBuffer());
  const start = new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]);
  return new Blob([start, chunk("IHDR", header), chunk("IDAT", body), chunk("IEND", new Uint8Array())], { type: "image/png" });
}
