// Tiles of an image as in hfmoe's infer/tiles.py: where they lie, and the weights that join them.

// The least side of tiles, no larger than `tile`, that needs no more of them.
export function sideOf(length, { tile, margin, multiple }) {
  const count = Math.max(Math.ceil((length - margin) / (tile - margin)), 1);
  return Math.min(Math.ceil((length + (count - 1) * margin) / count / multiple) * multiple, tile);
}

// Half-open ranges of at most `tile` pixels that cover `length`, begin on multiples and share `margin` pixels.
export function cut(length, { tile, margin, multiple }) {
  if (length <= tile) return [[0, length]];
  const step = Math.floor((tile - margin) / multiple) * multiple;
  const last = Math.ceil((length - tile) / multiple) * multiple;
  const gaps = Math.ceil(last / step);
  return Array.from({ length: gaps + 1 }, (_, index) => {
    const start = Math.floor(Math.floor((index * last) / gaps) / multiple) * multiple;
    return [start, Math.min(start + tile, length)];
  });
}

// Weights of each range along one axis of the result; over all ranges they sum to 1 at every pixel.
export function blendWeights(spans, { halo, scale }) {
  const ramps = spans.map(([start, stop]) => new Float64Array((stop - start) * scale).fill(1));
  for (let index = 0; index + 1 < spans.length; index++) {
    const fade = (spans[index][1] - spans[index + 1][0] - 2 * halo) * scale;
    const length = halo * scale + fade;
    for (let place = 0; place < length; place++) {
      const weight = place < halo * scale ? 0 : (place - halo * scale + 0.5) / fade;
      ramps[index][ramps[index].length - 1 - place] *= weight;
      ramps[index + 1][place] *= weight;
    }
  }
  const total = new Float64Array(spans.at(-1)[1] * scale);
  spans.forEach(([start], index) => ramps[index].forEach((weight, at) => (total[start * scale + at] += weight)));
  return spans.map(([start], index) => Float32Array.from(ramps[index], (weight, at) => weight / total[start * scale + at]));
}
