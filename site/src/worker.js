// Runs the network: pixels of a photo in, restored tiles out, one after the other.
import { fillHidden, flatPlaces } from "./alpha.js";
import { blendWeights, cut, sideOf } from "./tiles.js";

const RUNTIMES = { webgpu: "./ort/ort.webgpu.bundle.min.mjs", wasm: "./ort/ort.wasm.bundle.min.mjs" };

async function open(url, { device, threads }) {
  const ort = await import(RUNTIMES[device]);
  ort.env.wasm.wasmPaths = new URL("./ort/", self.location).href;
  ort.env.wasm.numThreads = threads;
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const runner = { ort, device, session: await ort.InferenceSession.create(bytes, { executionProviders: [device] }) };
  if (device === "webgpu") await run(runner, new Float32Array(3 * 64 * 64), 64, 64); // drivers fail at the first run
  return runner;
}

async function openBest(model, { device, threads }) {
  const adapter = device !== "wasm" && (await navigator.gpu?.requestAdapter().catch(() => null));
  if (adapter) {
    try {
      return await open(model, { device: "webgpu", threads });
    } catch (error) {
      postMessage({ kind: "note", text: `WebGPU: ${error.message}` });
    }
  }
  return open(model, { device: "wasm", threads });
}

let opened = { file: null, runner: null };

function openOnce({ file }, options) {
  if (opened.file !== file) opened = { file, runner: openBest(new URL(file, self.location).href, options) };
  return opened.runner;
}

async function run({ ort, session }, input, rows, columns) {
  const feeds = { image: new ort.Tensor("float32", input, [1, 3, rows, columns]) };
  if (session.inputNames.includes("effort")) feeds.effort = new ort.Tensor("float32", [0.5], []);
  const { restored } = await session.run(feeds);
  const values = await restored.getData(true);
  if (!values.every(Number.isFinite)) throw new Error("the network made values that are not finite");
  return values;
}

function crop(planes, width, [top, bottom], [left, right]) {
  const rows = bottom - top, columns = right - left;
  const input = new Float32Array(3 * rows * columns);
  planes.forEach((plane, band) => {
    for (let y = 0; y < rows; y++)
      input.set(plane.subarray((top + y) * width + left, (top + y) * width + right), (band * rows + y) * columns);
  });
  return input;
}

// Restore planes; onBlock gets each part of the result that no later tile changes.
async function restore(runner, { height, width, planes }, geometry, onBlock) {
  const { scale } = geometry;
  const spans = (length) => cut(length, { ...geometry, tile: sideOf(length, geometry) });
  const rows = spans(height), columns = spans(width);
  const vertical = blendWeights(rows, geometry), horizontal = blendWeights(columns, geometry);
  const wide = width * scale, size = wide * height * scale;
  const sums = [0, 1, 2].map(() => new Float32Array(size));
  let done = 0;
  for (const [row, y] of rows.entries()) for (const [column, x] of columns.entries()) {
    const restored = await run(runner, crop(planes, width, y, x), y[1] - y[0], x[1] - x[0]);
    const tall = (y[1] - y[0]) * scale, long = (x[1] - x[0]) * scale;
    for (let band = 0; band < 3; band++) for (let j = 0; j < tall; j++) {
      const to = (y[0] * scale + j) * wide + x[0] * scale, from = (band * tall + j) * long, weight = vertical[row][j];
      for (let i = 0; i < long; i++) sums[band][to + i] += restored[from + i] * weight * horizontal[column][i];
    }
    const block = {
      top: y[0] * scale, bottom: (rows[row + 1]?.[0] ?? height) * scale,
      left: x[0] * scale, right: (columns[column + 1]?.[0] ?? width) * scale,
    };
    onBlock(sums, block, ++done / (rows.length * columns.length));
  }
  return sums;
}

const level = (value) => Math.min(Math.max(Math.floor(value * 255 + 0.5), 0), 255);

function planesOf(rgba, bands) {
  return bands.map((band) => new Float32Array(rgba.length / 4).map((_, at) => rgba[4 * at + band] / 255));
}

function isGray(rgba) {
  for (let at = 0; at < rgba.length; at += 4)
    if (rgba[at] !== rgba[at + 1] || rgba[at] !== rgba[at + 2]) return false;
  return true;
}

// Alpha of the result: restored as a gray picture, but where it is constant.
async function restoreAlpha(runner, alpha, geometry, count) {
  const { scale } = geometry, { height, width, planes: [plane] } = alpha;
  const flat = flatPlaces(alpha);
  const gray = scale > 1 && flat.includes(0)
    ? await restore(runner, { height, width, planes: [plane, plane, plane] }, geometry, count)
    : null;
  return (x, y) => {
    const at = Math.floor(y / scale) * width + Math.floor(x / scale), place = y * width * scale + x;
    return !gray || flat[at] ? plane[at] : (gray[0][place] + gray[1][place] + gray[2][place]) / 3;
  };
}

// A corner of the result, soon: tiles equal the whole, so that it stays as it is when its own tile comes.
async function restoreCorner(runner, { height, width, planes }, { scale, halo, corner: side }, onBlock) {
  const [bottom, right] = [height, width].map((length) => Math.min(length, side));
  const tall = bottom * scale, long = right * scale;
  const values = await run(runner, crop(planes, width, [0, bottom], [0, right]), bottom, right);
  const part = [0, 1, 2].map((band) => values.subarray(band * tall * long, (band + 1) * tall * long));
  const end = (length, stop) => (stop === length ? stop : stop - halo) * scale;
  onBlock(part, { top: 0, bottom: end(height, bottom), left: 0, right: end(width, right) }, 0, long);
}

async function work({ rgba, height, width, model, options }) {
  const runner = await openOnce(model, options);
  const alpha = { height, width, planes: planesOf(rgba, [3]) };
  const hasAlpha = alpha.planes[0].some((value) => value < 1);
  const passes = hasAlpha && model.scale > 1 ? 2 : 1;
  const shareOf = (share) => (passes === 2 ? (1 + share) / 2 : share);
  const colour = fillHidden({ height, width, planes: planesOf(rgba, [0, 1, 2]) }, alpha);
  const gray = isGray(rgba); // stays gray, as in hfmoe: the mean of what the network makes of three equal channels
  let shown = null;
  const show = (planes, { top, bottom, left, right }, share, wide = width * model.scale) => {
    const tall = bottom - top, long = right - left, block = new Uint8ClampedArray(4 * tall * long);
    for (let y = 0; y < tall; y++) for (let x = 0; x < long; x++) {
      const from = (top + y) * wide + left + x, to = 4 * (y * long + x);
      const mean = (planes[0][from] + planes[1][from] + planes[2][from]) / 3;
      for (let band = 0; band < 3; band++) block[to + band] = level(gray ? mean : planes[band][from]);
      block[to + 3] = shown ? level(shown(left + x, top + y)) : 255;
    }
    const message = { kind: "block", rgba: block, left, top, height: tall, width: long, share: shareOf(share) };
    postMessage(message, [block.buffer]);
  };
  if (hasAlpha) {
    const count = (_planes, _block, share) => postMessage({ kind: "progress", share: share / passes });
    shown = await restoreAlpha(runner, alpha, model, count);
  } else if (Math.max(height, width) > model.corner) {
    await restoreCorner(runner, colour, model, show);
  }
  await restore(runner, colour, model, show);
  postMessage({ kind: "done", device: runner.device, hasAlpha });
}

// A message with a photo is work; one without says what will be asked for.
addEventListener("message", ({ data }) =>
  (data.rgba ? work(data) : openOnce(data.model, data.options)).catch((error) => {
    opened = { file: null, runner: null };
    postMessage({ kind: "failed", text: error.message ?? String(error) });
  }),
);
