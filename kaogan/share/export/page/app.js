import { Engine, blend, resolve, toVector } from "./engine.js";
import { attributePicker, colour } from "./kit/attributes.js";
import { $, capital, element, randomSeed, scrollBehavior } from "./kit/dom.js";
import { paint, save, tile, toCanvas } from "./kit/pictures.js";

const GRID = 24;
const REMEMBERED = 40;
const MORPH_SECONDS = 3;

const engine = new Engine(showProgress); // its worker starts while the rest loads
const model = await (await fetch("model.json")).json();
const memory = `kaogan ${new URL(".", location.href).pathname} `; // pages of one site share their storage
const controls = new Map();
let face = fromAddress() ?? model.start;
let end = randomFace();
let picture; // on the stage, in the size that the network made it
let past = remembered();
let playing = false;
let gridRun = 0;
let speed = 0;

// ---- faces

function randomFace(base = model.start) {
  const values = Object.fromEntries(model.attributes.map(({ name }) => [name, null]));
  return { ...base, values, seed: randomSeed(), number: 0 };
}

function describe(one) {
  const { values } = resolve(model, one);
  const words = model.attributes.map(({ name }) => `${values[name]} ${name.replaceAll("_", " ")}`);
  return [`Seed ${one.seed}${one.number ? `, no. ${one.number}` : ""}`, ...words].join(" · ");
}

function fromAddress() {
  const requested = new URLSearchParams(location.hash.slice(1));
  if (!requested.has("seed")) return null;
  return sound({
    seed: Number(requested.get("seed")),
    number: Number(requested.get("n") ?? 0),
    truncation: Number(requested.get("t") ?? 1),
    values: Object.fromEntries(model.attributes.map(({ name }) => [name, requested.get(`v.${name}`)])),
  });
}

/** The face if it is one of this model, else null: addresses and storage hold what they like. */
function sound(one) {
  const whole = (x) => Number.isSafeInteger(x) && x >= 0;
  if (!one || !whole(one.seed) || !whole(one.number) || !(one.truncation >= 0 && one.truncation <= 10)) return null;
  const values = {};
  for (const { name, values: known } of model.attributes) {
    values[name] = known.includes(one.values?.[name]) ? one.values[name] : null;
  }
  return { seed: one.seed, number: one.number, truncation: one.truncation, values };
}

function toAddress(one) {
  const words = new URLSearchParams({ seed: one.seed });
  if (one.number) words.set("n", one.number);
  if (one.truncation !== 1) words.set("t", one.truncation);
  for (const [name, value] of Object.entries(one.values)) if (value) words.set(`v.${name}`, value);
  return `#${words}`;
}

// ---- the stage

/** Only the last of many calls matters while one is at work. A call resolves when nothing is left to do. */
function latest(work) {
  let running;
  let next;
  const finish = async () => {
    try {
      while (next) {
        const now = next;
        next = undefined;
        await work(...now);
      }
    } catch (error) {
      fail(error);
    }
    running = undefined;
  };
  const call = (...args) => {
    next = args;
    return (running ??= finish());
  };
  return Object.assign(call, { settled: () => running });
}

const drawStage = latest(async (vector, label, after) => {
  const scale = playing ? 1 : chosenScale();
  const drawn = await enlarged(vector, scale);
  picture = drawn.picture;
  paint($("face"), picture);
  $("face").setAttribute("aria-label", `A drawn face. ${label}`);
  $("face").hidden = false;
  $("first").hidden = $("loading").hidden = true;
  $("caption").textContent = label;
  if (scale === 1) speed = speed ? 0.8 * speed + 0.2 * drawn.milliseconds : drawn.milliseconds;
  await after?.();
});

// ---- enlarging

function chosenScale() {
  return Number(document.querySelector("input[name=scale]:checked")?.value ?? 1);
}

/** Draws with a bar over the stage while a second network loads and works. */
async function enlarged(vector, scale) {
  if (scale === 1) return engine.draw(vector);
  const size = `${model.image_size * scale} px`;
  const tell = (done, total) => {
    if (done < total) waitFor(`Loading the network for ${size}: ${megabytes(done)} of ${megabytes(total)} MB`, done / total);
    else waitFor(`Enlarging to ${size}`);
  };
  try {
    return await engine.draw(vector, scale, tell);
  } finally {
    $("loading").hidden = true;
  }
}

/** Without a share the bar only says that something is at work. */
function waitFor(text, share) {
  $("loading").hidden = $("progress").hidden = false;
  if (share === undefined) $("progress").removeAttribute("value");
  else $("progress").value = share;
  $("loading-text").textContent = text;
}

function enlargeControl() {
  const sizes = [{ scale: 1 }, ...model.upscalers].map(({ scale }) => {
    const input = element("input", { type: "radio", name: "scale", value: scale, checked: scale === 1 });
    input.onchange = () => {
      $("size").value = scale === 1 ? "original" : scale;
      show(face, { remember: false });
    };
    const text = scale === 1 ? `${model.image_size} px` : `×${scale}: ${model.image_size * scale} px`;
    return element("label", {}, input, element("span", { className: "chip" }, text));
  });
  $("scales").append(...sizes);
  $("upscaling").hidden = false;
}

function show(one, { remember = true } = {}) {
  face = one;
  stop();
  $("morph").value = 0;
  const { values } = resolve(model, face);
  showValues(values);
  $("seed").value = face.seed;
  $("truncation").value = face.truncation;
  $("truncation-value").textContent = face.truncation.toFixed(2);
  const tint = model.attributes.map(({ name }) => colour(values[name])).find(Boolean);
  if (tint) document.documentElement.style.setProperty("--tint", tint);
  $("python").textContent = python(face, values);
  history.replaceState(null, "", toAddress(face));
  const shown = face;
  return drawStage(toVector(model, face), describe(face), async () => {
    paint($("morph-a").querySelector("canvas"), picture);
    if (remember) rememberFace(shown, picture);
  });
}

function showValues(drawn) {
  for (const [name, control] of controls) control.set(face.values[name] === null ? [] : [face.values[name]], drawn[name]);
}

function python(one, values) {
  const plain = model.keywords;
  const pairs = model.attributes.map(({ name }) => (plain ? `, ${name}=` : `${JSON.stringify(name)}: `) + JSON.stringify(values[name]));
  const words = plain ? pairs.join("") : `, attributes={${pairs.join(", ")}}`;
  const truncation = one.truncation === 1 ? "" : `, truncation=${one.truncation}`;
  return `import kaogan\n\nmodel = kaogan.load("${model.name}")\n` +
    `face = model.sample(${one.number + 1}, seed=${one.seed}${truncation}${words})[${one.number}]`;
}

// ---- morphing

function morph() {
  const t = Number($("morph").value);
  return drawStage(onStage(), t > 0 ? `${Math.round(t * 100)} % of the way from seed ${face.seed} to ${end.seed}` : describe(face));
}

async function setEnd(one) {
  end = one;
  const drawn = await engine.draw(toVector(model, end));
  paint($("morph-b").querySelector("canvas"), drawn.picture);
}

function stop() {
  playing = false;
  $("play").setAttribute("aria-pressed", "false");
  $("play").querySelector("span").textContent = "Play";
}

async function play() {
  if (playing) {
    stop();
    return morph(); // in the size that was chosen
  }
  playing = true;
  $("play").setAttribute("aria-pressed", "true");
  $("play").querySelector("span").textContent = "Stop";
  const began = performance.now() - $("morph").value * MORPH_SECONDS * 1000;
  while (playing) {
    const phase = ((performance.now() - began) / 1000 / MORPH_SECONDS) % 2;
    const t = phase < 1 ? phase : 2 - phase;
    $("morph").value = t;
    await morph();
    await new Promise(requestAnimationFrame);
  }
}

// ---- many at once

function gridFaces(kind) {
  const attribute = model.attributes.find(({ name }) => name === kind);
  if (!attribute) return Array.from({ length: GRID }, (_, number) => ({ ...face, number }));
  const { values } = resolve(model, face);
  return attribute.values.map((value) => ({ ...face, values: { ...values, [kind]: value } }));
}

async function drawGrid() {
  const run = ++gridRun;
  const faces = gridFaces($("kind").value);
  const bar = Object.assign($("grid-progress"), { hidden: false, value: 0 });
  $("grid").replaceChildren();
  const sheet = element("canvas");
  for (const [index, one] of faces.entries()) {
    const drawn = await engine.draw(toVector(model, one));
    if (run !== gridRun) return;
    $("grid").append(tile(drawn.picture, describe(one), () => { show(one); scrollTo({ top: 0, behavior: scrollBehavior() }); }));
    toSheet(sheet, drawn.picture, index, faces.length);
    bar.value = (index + 1) / faces.length;
  }
  bar.hidden = true;
  $("save-grid").disabled = false;
  $("save-grid").onclick = () => save(sheet, `${model.name}-${face.seed}-sheet.png`);
}

function toSheet(sheet, one, index, count) {
  const columns = Math.min(6, count);
  const step = one.width + 2;
  if (!index) Object.assign(sheet, { width: columns * step + 2, height: Math.ceil(count / columns) * step + 2 });
  sheet.getContext("2d").putImageData(one, 2 + (index % columns) * step, 2 + Math.floor(index / columns) * step);
}

// ---- what was made before

/** Storage may be closed, as in a private window: then things last as long as the page. */
function stored(name) {
  try {
    return localStorage.getItem(memory + name);
  } catch {
    return null;
  }
}

function store(name, text) {
  try {
    localStorage.setItem(memory + name, text);
  } catch {
    // Told above.
  }
}

function remembered() {
  try {
    return JSON.parse(stored("faces") ?? "[]").map(sound).filter(Boolean).slice(0, REMEMBERED);
  } catch {
    return [];
  }
}

function keep() {
  store("faces", JSON.stringify(past));
}

function rememberFace(one, drawn) {
  const same = (other) => toAddress(other) === toAddress(one);
  const list = $("history");
  const before = past.findIndex(same);
  if (before >= 0) list.children[before]?.remove();
  past = [one, ...past.filter((other) => !same(other))].slice(0, REMEMBERED);
  list.prepend(element("li", {}, tile(drawn, describe(one), () => show(one))));
  while (list.children.length > REMEMBERED) list.lastChild.remove();
  keep();
}

async function drawHistory() {
  const rows = [];
  for (const one of past) {
    const { picture: drawn } = await engine.draw(toVector(model, one));
    rows.push(element("li", {}, tile(drawn, describe(one), () => show(one))));
  }
  $("history").replaceChildren(...rows);
}

// ---- downloads

/** What is drawn on the stage: the face, or a point of the morph. */
function onStage() {
  const t = Number($("morph").value);
  return t ? blend(model, toVector(model, face), toVector(model, end), t) : toVector(model, face);
}

async function download() {
  const size = $("size").value;
  let canvas = toCanvas(picture);
  if (size === "enlarged") {
    canvas = element("canvas", { width: 512, height: 512 });
    paint(canvas, picture);
  } else {
    const scale = size === "original" ? 1 : Number(size);
    const shown = picture.width === scale * model.image_size;
    if (!shown) canvas = toCanvas((await enlarged(onStage(), scale)).picture);
  }
  save(canvas, `${model.name}-${face.seed}${face.number ? `-${face.number}` : ""}.png`);
}

async function copyLink() {
  const label = $("link").querySelector("span");
  try {
    await navigator.clipboard.writeText(location.href);
    label.textContent = "Copied";
  } catch {
    label.textContent = "Copy it from the address bar";
  }
  setTimeout(() => (label.textContent = "Copy link"), 2000);
}

// ---- the page

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

function showProgress(done, total) {
  if (done < total) waitFor(`Loading the network: ${megabytes(done)} of ${megabytes(total)} MB`, done / total);
  else waitFor("Starting the network", 1); // a bar that moves would cost the start a third of its time
}

function fail(error) {
  $("loading").hidden = false;
  $("progress").hidden = true;
  $("loading-text").textContent = $("status").textContent = `It does not work here: ${error.message}`;
  $("status").classList.add("bad");
}

function build() {
  const size = model.image_size;
  const count = model.parameters >= 1e6 ? `${(model.parameters / 1e6).toFixed(1)} million` : model.parameters.toLocaleString("en");
  $("about").textContent = `${size} × ${size} pixels, from a neural network of ${count} weights that runs in your own browser.`;
  for (const attribute of model.attributes) {
    const { name } = attribute;
    const control = attributePicker(attribute, ([value = null]) => show({ ...face, values: { ...face.values, [name]: value } }));
    controls.set(name, control);
    $("attributes").append(control.node);
  }
  const kinds = [["faces", `${GRID} faces of the seed`], ...model.attributes.map(({ name }) => [name, `Every ${name}`])];
  $("kind").append(...kinds.map(([value, text]) => element("option", { value }, capital(text))));
  const sizes = [["original", `${size} px`], ["enlarged", "512 px, enlarged"]];
  for (const { scale } of model.upscalers) sizes.push([scale, `${size * scale} px, ×${scale}`]);
  $("size").append(...sizes.map(([value, text]) => element("option", { value }, text)));
  if (model.upscalers.length) enlargeControl();
  const { values } = resolve(model, face);
  showValues(values);
}

function wire() {
  $("attributes").onsubmit = (event) => event.preventDefault();
  $("new").onclick = () => show({ ...face, seed: randomFace().seed, number: 0 });
  $("dice").onclick = $("new").onclick;
  $("seed").onchange = ({ target }) => {
    const seed = Math.trunc(Number(target.value));
    if (target.value !== "" && Number.isSafeInteger(seed) && seed >= 0) show({ ...face, seed, number: 0 });
    else target.value = face.seed;
  };
  $("truncation").oninput = ({ target }) => show({ ...face, truncation: Number(target.value) }, { remember: false });
  $("truncation").onchange = ({ target }) => show({ ...face, truncation: Number(target.value) });
  $("morph").oninput = () => { stop(); morph(); };
  $("morph-a").onclick = () => show(face, { remember: false });
  $("morph-b").onclick = () => setEnd(face);
  $("swap").onclick = async () => { await setEnd(randomFace()); morph(); };
  $("play").onclick = play;
  $("draw-grid").onclick = () => drawGrid().catch(fail);
  $("download").onclick = () => download().catch(fail);
  $("link").onclick = copyLink;
  $("forget").onclick = () => { past = []; keep(); $("history").replaceChildren(); };
  $("theme").onclick = () => {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
    theme(dark ? "light" : "dark");
  };
  addEventListener("hashchange", () => { const requested = fromAddress(); if (requested) show(requested); });
}

function theme(name) {
  if (name) store("theme", name);
  else name = stored("theme");
  if (name) document.documentElement.dataset.theme = name;
}

// Asking for a graphics card takes as long as starting the network: where there was none, the next visit does not ask.
const noCard = `${model.version} ${navigator.userAgent}`;

function backend() {
  const forced = new URLSearchParams(location.search).get("backend");
  return forced ?? (stored("backend") === noCard ? "wasm" : null);
}

// For tests, and for the curious with the console open.
window.kaogan = { model, engine, toVector, picture: () => picture, face: () => face, settled: drawStage.settled };

const scope = new URL(".", location.href).href;
const requested = backend();
const starting = engine.start(model, requested, `kaogan ${scope} ${model.version}`);
theme();
build();
wire();
navigator.serviceWorker?.register("sw.js").catch(() => null); // absent on plain http: then a visit needs the network
try {
  const ready = await starting;
  if (ready.backend === "wasm" && !requested) store("backend", noCard);
  for (const id of ["new", "download", "morph", "play", "swap", "draw-grid"]) $(id).disabled = false;
  const shown = past.slice();
  await show(face, { remember: false });
  const names = { wasm: "WebAssembly", webgpu: "WebGPU" };
  performance.mark("first face");
  const first = (performance.now() / 1000).toFixed(1); // from the address to the face
  $("status").textContent =
    `${names[ready.backend]}: first face after ${first} s, ${Math.max(1, Math.round(speed))} ms a face. ${ready.note}`;
  document.documentElement.dataset.backend = ready.backend;
  await setEnd(end);
  if (shown.length) await drawHistory();
  rememberFace(face, picture);
  engine.keep();
} catch (error) {
  fail(error);
}
