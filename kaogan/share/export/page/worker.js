// The generator, away from the page's thread. Messages in: start, draw, keep; out: progress, ready, face, failed.

let model; // model.json
let session; // of the generator
let ort;
let backend; // "webgpu" or "wasm"
let store; // the name of the page's cache, or null
let inside = {}; // addresses of the files that a page of a single file has in it
const SLOW = 400; // ms a face, from where WebAssembly is worth a try
const upscalers = new Map(); // scale -> session
const address = (file) => inside[file.split("?")[0]] ?? new URL(file, self.location.href).href;

let queue = Promise.resolve(); // one thing after another: a session takes one run at a time
self.onmessage = ({ data }) => {
  if (data.type === "keep") keep();
  else queue = queue.then(() => (data.type === "start" ? start(data) : draw(data)));
};

async function start({ about, requested, cache, files }) {
  const began = performance.now();
  [model, store, inside] = [about, cache, files];
  try {
    fetchOnce(model.file).catch(() => null); // load() tells of it
    const kinds = requested === "wasm" || !(await hasWebGPU(requested)) ? ["wasm"] : ["webgpu", "wasm"];
    let note = "";
    for (const kind of kinds) {
      try {
        await load(kind);
        const off = await checkProbe();
        if (kind === "webgpu" && off > 2) throw new Error(`its pictures are off by ${off} of 255`);
        if (kind === "webgpu" && requested !== kind && (await timeProbe()) > SLOW) throw new Error("it is slow here");
        if (off > 2) note = `The pictures differ from the original's by up to ${off} of 255 here.`;
        break;
      } catch (error) {
        if (kind === kinds.at(-1)) throw error;
        console.warn(`WebGPU is not used: ${error.message ?? error}`);
        session = undefined;
      }
    }
    self.postMessage({ type: "ready", backend, note, milliseconds: performance.now() - began });
  } catch (error) {
    self.postMessage({ type: "failed", message: String(error?.message ?? error) });
  }
}

/** Whether there is a graphics card to use; one that the processor plays is slower than WebAssembly. */
async function hasWebGPU(requested) {
  if (!model.runtime.webgpu || !self.navigator.gpu || !("Suspending" in WebAssembly)) return false;
  const adapter = await self.navigator.gpu.requestAdapter().catch(() => null);
  return adapter !== null && (requested === "webgpu" || !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter));
}

async function timeProbe() {
  const began = performance.now();
  await checkProbe();
  return performance.now() - began;
}

const fetched = new Map(); // file -> promise of its bytes
const done = new Map(); // file -> how many are here

function fetchOnce(file) {
  if (!fetched.has(file)) fetched.set(file, fetchBytes(file, report));
  return fetched.get(file);
}

let wanted = []; // the files that the network starts with
let reported = 0; // when
function report(file, bytes) {
  done.set(file, bytes);
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const total = sum(wanted.map((file) => model.bytes[file]));
  const here = sum(wanted.map((file) => done.get(file) ?? 0));
  if (!total || (here < total && performance.now() - reported < 100)) return;
  reported = performance.now();
  self.postMessage({ type: "progress", done: here, total });
}

async function load(kind) {
  const files = model.runtime[kind];
  wanted = [files.binary, model.file];
  const compiled = compile(files.binary);
  self.runtime = { script: address(files.module), compiled }; // for compile.js
  const parts = [import(address(files.script)), fetchOnce(model.file), compiled];
  const [script, weights] = await Promise.all(parts);
  ort = script;
  ort.env.wasm.wasmPaths = { mjs: address(`compile.js?${kind}`) };
  ort.env.wasm.numThreads = 1; // more need headers that static servers do not send
  ort.env.logLevel = "error";
  session = await createSession(weights, kind);
  backend = kind;
}

function createSession(bytes, kind) {
  return ort.InferenceSession.create(bytes, { executionProviders: [kind], graphOptimizationLevel: "all" });
}

/** A file's stream, from the page's own cache where it is there: then it is also there without a network. */
async function open(file, report) {
  const cache = store && self.caches ? await self.caches.open(store).catch(() => null) : null;
  const found = await cache?.match(address(file));
  const response = found ?? (await fetch(address(file)));
  if (!response.ok) throw new Error(`${file} is missing on the server (${response.status})`);
  // Refused where the disk is full or in a private window: the page works all the same.
  if (cache && !found) cache.put(address(file), response.clone()).catch(() => null);
  let size = 0;
  const transform = (part, controller) => {
    report?.(file, (size += part.length));
    controller.enqueue(part);
  };
  return response.body.pipeThrough(new TransformStream({ transform }));
}

async function fetchBytes(file, report) {
  const bytes = new Uint8Array(await new Response(await open(file, report)).arrayBuffer());
  // Browsers calculate digests only where nobody can change pages on their way: https and this machine.
  if (self.crypto?.subtle && model.sha256?.[file]) {
    const digest = new Uint8Array(await self.crypto.subtle.digest("SHA-256", bytes));
    const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (found !== model.sha256[file]) {
      const cache = store && self.caches ? await self.caches.open(store).catch(() => null) : null;
      await cache?.delete(address(file));
      throw new Error(`${file} is damaged: its checksum does not match; load the page again, or export it again`);
    }
  }
  return bytes;
}

/** The WebAssembly of a file, compiled as it arrives; a server may have unpacked it already. */
async function compile(file) {
  const reader = (await open(file, report)).getReader();
  const first = await reader.read();
  let stream = new ReadableStream({
    start: (controller) => controller.enqueue(first.value),
    pull: async (controller) => {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
  if (first.value[0] === 0x1f && first.value[1] === 0x8b) stream = stream.pipeThrough(new DecompressionStream("gzip"));
  return WebAssembly.compileStreaming(new Response(stream, { headers: { "content-type": "application/wasm" } }));
}

/** Puts what has not been needed yet into the page's cache, for visits without a network. */
async function keep() {
  const cache = store && self.caches && !self.navigator.connection?.saveData ? await self.caches.open(store) : null;
  for (const { file } of cache ? model.upscalers : []) {
    if (!(await cache.match(address(file)))) await cache.add(address(file)).catch(() => null);
  }
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
    if (scale > 1) images = await enlarge(images, scale, (done, total) => self.postMessage({ type: "step", id, done, total }));
    const { data, side } = toPixels(images);
    const milliseconds = performance.now() - began;
    self.postMessage({ type: "face", id, pixels: data, side, milliseconds }, [data.buffer]);
  } catch (error) {
    self.postMessage({ type: "failed", id, message: String(error?.message ?? error) });
  }
}

/** `step(done, total)` tells how much of the second network is here. */
async function enlarge(images, scale, step) {
  if (!upscalers.has(scale)) {
    const { file } = model.upscalers.find((each) => each.scale === scale);
    const bytes = await fetchBytes(file, (_, size) => step(size, model.bytes[file]));
    upscalers.set(scale, await createSession(bytes, backend));
  }
  step(1, 1);
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
