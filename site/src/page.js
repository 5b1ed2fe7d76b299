// The page: a photo, what to do with it, and the tiles that come back from the worker.
import { encodePng } from "./png.js";

const MOST = 24e6; // pixels of a result
const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search); // ?threads=1&device=wasm, to measure
const threads = Number(query.get("threads")) || (crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 4) : 1);
const options = { device: query.get("device") ?? "auto", threads };
const SUFFIXES = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp" };
let photo = null, worker = null, job = null, result = null, takes = 0;

// Seconds a megapixel of each model's result took here; a browser may refuse to keep them.
const pace = (() => { try { return localStorage; } catch { return {}; } })();
const models = await (await fetch("models.json")).json();
$("most").textContent = MOST / 1e6;
$("problem").append(...Object.keys(models).map((name) => new Option(name)));
$("problem").addEventListener("change", offerSizes);
$("size").addEventListener("change", describe);
offerSizes();

function offerSizes() {
  $("size").replaceChildren(...models[$("problem").value].map((model, at) => new Option(model.words, at)));
  describe();
}

function chosen() {
  return models[$("problem").value][$("size").value];
}

function describe() {
  const model = chosen(), seconds = Number(pace[`pace ${model.name}`]);
  const time = seconds ? `; ${seconds.toPrecision(2)} s a megapixel of the result when it last ran here` : "";
  $("model").textContent = `${model.name}: ${(model.bytes / 1e6).toFixed(1)} MB${time}.`;
  if (photo && !job) prepare();
}

function say(text, failed = false) {
  $("state").textContent = text;
  $("state").className = failed ? "failed" : "";
}

async function read(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  if (width * height > MOST) throw new RangeError(`${width} x ${height} is more than ${MOST / 1e6} megapixels.`);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  return { rgba, width, height, bitmap, name: file.name.replace(/\.[^.]*$/, "") };
}

async function take(file) {
  if (!file) return;
  const turn = ++takes;
  let taken = null, problem = "";
  try {
    taken = await read(file);
  } catch (error) {
    problem = `${file.name}: ${error instanceof RangeError ? error.message : "no picture that this browser can read."}`;
  }
  if (turn !== takes) return; // another photo was chosen since
  photo = taken;
  $("facts").textContent = photo ? `${file.name}: ${photo.width} x ${photo.height} pixels` : "";
  say(problem, !photo);
  $("restore").disabled = !photo;
  if (photo) prepare();
}

$("photo").addEventListener("change", () => take($("photo").files[0]));
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && !job) take(event.dataTransfer.files[0]);
  });
}

function working(busy) {
  const focused = [$("restore"), $("cancel")].includes(document.activeElement);
  $("restore").disabled = busy || !photo;
  $("cancel").disabled = !busy;
  $("bar").hidden = !busy;
  $("photo").disabled = busy;
  for (const button of $("save").children) button.disabled = busy || !result?.whole;
  if (focused) $(busy ? "cancel" : "restore").focus(); // a disabled button loses it
}

function stop(text, failed) {
  worker.terminate();
  worker = null;
  end(text, failed);
}

function end(text, failed) {
  job = null;
  working(false);
  say(text, failed);
}

$("cancel").addEventListener("click", () => stop("Cancelled."));

// Opens the network in the worker, or lets it run on a photo.
function prepare(work = {}) {
  if (!worker) {
    worker = new Worker("worker.js", { type: "module" });
    worker.onmessage = ({ data }) => answers[data.kind](data);
    worker.onerror = ({ message }) => answers.failed({ text: message });
  }
  worker.postMessage({ model: chosen(), options, ...work });
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const model = chosen(), width = photo.width * model.scale, height = photo.height * model.scale;
  if (width * height > MOST) return say(`The result of ${width} x ${height} is more than ${MOST / 1e6} megapixels.`, true);
  for (const id of ["before", "after"]) Object.assign($(id), { width, height });
  const before = $("before").getContext("2d");
  before.imageSmoothingQuality = "high";
  before.drawImage(photo.bitmap, 0, 0, width, height);
  const name = `${photo.name}-x${model.scale}`;
  result = { width, height, rgba: new Uint8ClampedArray(4 * width * height), name, whole: false };
  job = { model, began: performance.now(), first: null };
  $("result").hidden = false;
  $("progress").removeAttribute("value"); // moves, with nothing to tell yet
  say("");
  working(true);
  prepare({ rgba: photo.rgba, width: photo.width, height: photo.height });
});

const answers = {
  note: ({ text }) => console.warn(text),
  failed: ({ text }) => stop(`The network did not run: ${text}`, true),
  progress: ({ share }) => { $("progress").value = share; },
  block: (data) => {
    job.first ??= secondsOf(job);
    put(data);
  },
  done: ({ device, hasAlpha }) => {
    const { model, first } = job, seconds = secondsOf(job), { width, height } = result;
    pace[`pace ${model.name}`] = (seconds * 1e6) / (width * height);
    Object.assign(result, { hasAlpha, whole: true });
    const means = device === "webgpu" ? "the graphics processor" : `${threads} thread${threads > 1 ? "s" : ""}`;
    const times = `in ${seconds.toFixed(1)} s, the first tile after ${first.toFixed(1)} s`;
    end(`Restored by ${means} ${times}: ${width} x ${height} pixels.`);
    describe();
  },
};

const secondsOf = ({ began }) => (performance.now() - began) / 1000;

function put({ rgba, left, top, width, height, share }) {
  if (share) $("progress").value = share;
  $("after").getContext("2d").putImageData(new ImageData(rgba, width, height), left, top);
  for (let y = 0; y < height; y++)
    result.rgba.set(rgba.subarray(4 * y * width, 4 * (y + 1) * width), 4 * ((top + y) * result.width + left));
}

async function encode(type) {
  if (type === "png") return encodePng(result);
  const canvas = new OffscreenCanvas(result.width, result.height), context = canvas.getContext("2d");
  if (type === "jpeg") Object.assign(context, { fillStyle: "white" }).fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage($("after"), 0, 0);
  return canvas.convertToBlob({ type: `image/${type}`, quality: 0.95 });
}

$("save").addEventListener("click", async ({ target: { dataset: { type } } }) => {
  if (!type) return;
  try {
    const blob = await encode(type), link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${result.name}.${SUFFIXES[blob.type]}`; // a browser without WebP makes a PNG
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } catch (error) {
    say(`The result cannot be saved: ${error.message}`, true);
  }
});

document.body.dataset.ready = "yes";
if ("serviceWorker" in navigator) {
  await navigator.serviceWorker.register("sw.js");
  await navigator.serviceWorker.ready;
  $("offline").textContent = "From now on without a connection, too.";
}
