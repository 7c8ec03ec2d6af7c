// The generator, away from the page's thread. Messages in: start, draw; out: progress, ready, face, failed.

let model; // model.json
let session; // of the generator
let ort;
let runtime; // "webgpu" or "wasm"
const SLOW = 400; // ms a face, from where WebAssembly is worth a try
const upscalers = new Map(); // scale -> session
const address = (file) => new URL(file, self.location.href).href;

let queue = Promise.resolve(); // one thing after another: a session takes one run at a time
self.onmessage = ({ data }) => {
  queue = queue.then(() => (data.type === "start" ? start(data) : draw(data)));
};

async function start({ backend, cache }) {
  const began = performance.now();
  try {
    model = await (await fetch(address("model.json"))).json();
    fetchOnce(model.file, cache).catch(() => null); // load() tells of it
    const kinds = backend === "wasm" || !(await hasWebGPU(backend)) ? ["wasm"] : ["webgpu", "wasm"];
    let note = "";
    for (const kind of kinds) {
      try {
        await load(kind, cache);
        const off = await checkProbe();
        if (kind === "webgpu" && off > 2) throw new Error(`its pictures are off by ${off} of 255`);
        if (kind === "webgpu" && backend !== kind && (await timeProbe()) > SLOW) throw new Error("it is slow here");
        if (off > 2) note = `The pictures differ from the original's by up to ${off} of 255 here.`;
        break;
      } catch (error) {
        if (kind === kinds.at(-1)) throw error;
        console.warn(`WebGPU is not used: ${error.message ?? error}`);
        session = undefined;
      }
    }
    self.postMessage({ type: "ready", backend: runtime, note, milliseconds: performance.now() - began });
  } catch (error) {
    self.postMessage({ type: "failed", message: String(error?.message ?? error) });
  }
}

/** Whether there is a graphics card to use; one that the processor plays is slower than WebAssembly. */
async function hasWebGPU(backend) {
  if (!model.runtime.webgpu || !self.navigator.gpu || !("Suspending" in WebAssembly)) return false;
  const adapter = await self.navigator.gpu.requestAdapter().catch(() => null);
  return adapter !== null && (backend === "webgpu" || !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter));
}

async function timeProbe() {
  const began = performance.now();
  await checkProbe();
  return performance.now() - began;
}

const fetched = new Map(); // file -> promise of its bytes
const done = new Map(); // file -> how many are here

function fetchOnce(file, cache) {
  if (!fetched.has(file)) fetched.set(file, fetchBytes(file, cache, (bytes) => done.set(file, bytes) && report()));
  return fetched.get(file);
}

let wanted = []; // the files that the network starts with
function report() {
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const total = sum(wanted.map((file) => model.bytes[file]));
  if (total) self.postMessage({ type: "progress", done: sum(wanted.map((file) => done.get(file) ?? 0)), total });
}

async function load(kind, cache) {
  const files = model.runtime[kind];
  wanted = [files.binary, model.file];
  const parts = [import(address(files.script)), ...wanted.map((file) => fetchOnce(file, cache))];
  const [script, binary, weights] = await Promise.all(parts);
  ort = script;
  ort.env.wasm.wasmBinary = await unpack(binary);
  ort.env.wasm.wasmPaths = { mjs: address(files.module) };
  ort.env.wasm.numThreads = 1; // more need headers that static servers do not send
  ort.env.logLevel = "error";
  session = await createSession(weights, kind);
  runtime = kind;
}

function createSession(bytes, kind) {
  return ort.InferenceSession.create(bytes, { executionProviders: [kind], graphOptimizationLevel: "all" });
}

/** The bytes of a file, from the page's own cache where it is there: then it is also there without a network. */
async function fetchBytes(file, cacheName, report) {
  const cache = self.caches && cacheName ? await self.caches.open(cacheName).catch(() => null) : null;
  const found = await cache?.match(address(file));
  const response = found ?? (await fetch(address(file)));
  if (!response.ok) throw new Error(`${file} is missing on the server (${response.status})`);
  const reader = response.body.getReader();
  const chunks = [];
  let size = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    chunks.push(part.value);
    report?.((size += part.value.length));
  }
  const bytes = new Uint8Array(await new Blob(chunks).arrayBuffer());
  // Refused where the disk is full or in a private window: the page works all the same.
  if (cache && !found) await cache.put(address(file), new Response(bytes)).catch(() => null);
  return bytes;
}

async function unpack(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.buffer; // a server may have unpacked it already
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** How far, of 255, this machine's picture of the probe is from the one that Python drew. */
async function checkProbe() {
  const { latents, codes, pixels, places } = model.probe;
  const drawn = toPixels(await generate(Float32Array.from(latents), codes && Float32Array.from(codes), 1));
  return Math.max(...places.map((place, i) => Math.abs(drawn.data[place] - pixels[i])));
}

async function generate(latents, codes, truncation) {
  const feeds = { latents: new ort.Tensor("float32", latents, [1, latents.length]) };
  if (codes) feeds.codes = new ort.Tensor("float32", codes, [1, codes.length]);
  if (model.styled) feeds.truncation = new ort.Tensor("float32", Float32Array.of(truncation), []);
  return (await session.run(feeds)).images;
}

async function draw({ id, latents, codes, truncation, scale }) {
  try {
    const began = performance.now();
    let images = await generate(latents, codes, truncation);
    if (scale > 1) images = await enlarge(images, scale);
    const { data, side } = toPixels(images);
    const milliseconds = performance.now() - began;
    self.postMessage({ type: "face", id, pixels: data, side, milliseconds }, [data.buffer]);
  } catch (error) {
    self.postMessage({ type: "failed", id, message: String(error?.message ?? error) });
  }
}

async function enlarge(images, scale) {
  if (!upscalers.has(scale)) {
    const { file } = model.upscalers.find((each) => each.scale === scale);
    upscalers.set(scale, await createSession(await fetchBytes(file, null), runtime));
  }
  const upscaler = upscalers.get(scale);
  const clipped = images.data.map((value) => Math.min(1, Math.max(-1, value)));
  const input = new ort.Tensor("float32", clipped, images.dims);
  return (await upscaler.run({ [upscaler.inputNames[0]]: input }))[upscaler.outputNames[0]];
}

/** (1, C, S, S) in [-1, 1] -> RGBA. A clamped array rounds halves to even, as kaogan does. */
function toPixels(images) {
  const [, channels, side] = images.dims;
  const plane = side * side;
  const data = new Uint8ClampedArray(4 * plane);
  for (let c = 0; c < 3; c++) {
    const from = channels === 1 ? 0 : c * plane;
    for (let i = 0; i < plane; i++) data[4 * i + c] = Math.fround((images.data[from + i] + 1) * 127.5);
  }
  for (let i = 0; i < plane; i++) data[4 * i + 3] = 255;
  return { data, side };
}
