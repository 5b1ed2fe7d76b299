// Colours under transparency as in hfmoe's image/alpha.py (Gortler et al., "The Lumigraph", 1996).
// An image is {height, width, planes: Float32Array[]}.
const VISIBLE = 1 / 8;

const map = (image, make) => ({
  ...image,
  planes: image.planes.map((plane, band) => plane.map((value, at) => make(value, at, band))),
});
const trustOf = (weight) => Math.min(weight / VISIBLE, 1);
const smallest = (plane) => plane.reduce((least, value) => Math.min(least, value), Infinity);

// The colours with those of transparent pixels replaced by their visible surroundings'.
export function fillHidden(colour, alpha) {
  const weight = alpha.planes[0];
  if (smallest(weight) >= VISIBLE) return colour;
  if (Math.max(colour.height, colour.width) === 1) return map(colour, (value, at) => value * trustOf(weight[at]));
  const seen = map(colour, (value, at) => value * weight[at]);
  return over(colour, weight, enlarged(surroundings(halved(seen), halved(alpha)), colour));
}

function over(colour, weight, under) {
  return map(colour, (value, at, band) => {
    const trust = trustOf(weight[at]);
    return under.planes[band][at] * (1 - trust) + value * trust;
  });
}

function surroundings(seen, alpha) {
  const weight = alpha.planes[0];
  const here = map(seen, (value, at) => value / Math.max(weight[at], 1e-6));
  if (Math.max(seen.height, seen.width) === 1 || smallest(weight) >= VISIBLE) return here;
  return over(here, weight, enlarged(surroundings(halved(seen), halved(alpha)), seen));
}

function halved({ height, width, planes }) {
  const rows = Math.ceil(height / 2), columns = Math.ceil(width / 2);
  const half = (plane) => {
    const made = new Float32Array(rows * columns);
    for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
      const top = 2 * y * width, below = Math.min(2 * y + 1, height - 1) * width;
      const left = 2 * x, right = Math.min(2 * x + 1, width - 1);
      made[y * columns + x] = (plane[top + left] + plane[top + right] + plane[below + left] + plane[below + right]) / 4;
    }
    return made;
  };
  return { height: rows, width: columns, planes: planes.map(half) };
}

function enlarged({ height, width, planes }, like) {
  const taps = (from, to) => Array.from({ length: to }, (_, at) => {
    const place = Math.min(Math.max(((at + 0.5) * from) / to - 0.5, 0), from - 1);
    const first = Math.floor(place);
    return [first, Math.min(first + 1, from - 1), place - first];
  });
  const rows = taps(height, like.height), columns = taps(width, like.width);
  const enlarge = (plane) => {
    const made = new Float32Array(like.height * like.width);
    rows.forEach(([top, below, down], y) => columns.forEach(([left, right, along], x) => {
      const upper = plane[top * width + left] * (1 - along) + plane[top * width + right] * along;
      const lower = plane[below * width + left] * (1 - along) + plane[below * width + right] * along;
      made[y * like.width + x] = upper * (1 - down) + lower * down;
    }));
    return made;
  };
  return { height: like.height, width: like.width, planes: planes.map(enlarge) };
}

// True where alpha is the same in a square of two pixels around.
export function flatPlaces({ height, width, planes: [plane] }, reach = 2) {
  const flat = new Uint8Array(height * width);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    let same = 1;
    const value = plane[y * width + x];
    for (let j = Math.max(0, y - reach); same && j <= Math.min(height - 1, y + reach); j++)
      for (let i = Math.max(0, x - reach); i <= Math.min(width - 1, x + reach); i++)
        if (plane[j * width + i] !== value) { same = 0; break; }
    flat[y * width + x] = same;
  }
  return flat;
}
