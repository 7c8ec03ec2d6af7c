import { Engine, blend, resolve, toVector } from "./engine.js";
import { facesOf } from "./faces.js";
import { readModel, single } from "./files.js";
import { follower, leaning } from "./follow.js";
import { faceHistory } from "./history.js";
import { attributePicker } from "./kit/attributes.js";
import { $, capital, element, reducedMotion, scrollBehavior } from "./kit/dom.js";
import { paint, save, tile, toCanvas } from "./kit/pictures.js";
import { store, stored, themeButton } from "./kit/theme.js";
import { tint } from "./kit/tint.js";
import { latest } from "./latest.js";

const GRID = 24;
const MORPH_SECONDS = 3;
const PATIENCE = 600; // ms before a wait is told of
const PAUSE = 150; // ms for which a slider rests before its face is enlarged
const FLUENT = 150; // ms a face, up to where one can follow the pointer

const engine = new Engine(showProgress); // its worker starts while the rest loads
const model = await readModel().catch((error) => {
  fail(error);
  throw error;
});
const memory = `kaogan ${new URL(".", location.href).pathname} `; // pages of one site share their storage
const faces = facesOf(model);
const { describe, fromAddress, python, randomFace, toAddress } = faces;
const controls = new Map();
let face = fromAddress() ?? model.start;
let end = randomFace();
let picture; // on the stage, in the size that was made last
let usual = 1; // the factor that faces are enlarged by unless another is chosen
let playing = false;
let gridRun = 0;
let speed = 0;
const past = faceHistory($("history"), `${memory}faces`, faces, async (one) => (await engine.draw(toVector(model, one))).picture, show);
const pointer = follower($("face"), (still) => drawStage(onStage(), $("caption").textContent, null, still ? PAUSE : 0));

// ---- the stage

/** First the face as the generator draws it, then enlarged; `each` hears of both, `rest` is how long to wait between. */
const drawStage = latest(async (vector, label, each, rest = 0) => {
  const drawn = await engine.draw(vector);
  speed = speed ? 0.8 * speed + 0.2 * drawn.milliseconds : drawn.milliseconds;
  if (!performance.getEntriesByName("first face").length) performance.mark("first face");
  putOnStage(drawn.picture, label);
  tint($("face"));
  each?.(drawn.picture);
  const scale = playing || pointer.moving() ? 1 : chosenScale();
  if (scale === 1) return;
  if (rest) await new Promise((done) => setTimeout(done, rest));
  if (drawStage.overtaken()) return;
  putOnStage((await enlarged(vector, scale)).picture, label);
  each?.(picture);
}, fail);

function putOnStage(drawn, label) {
  picture = drawn;
  paint($("face"), picture);
  $("face").setAttribute("aria-label", `A drawn face. ${label}`);
  $("face").hidden = false;
  $("first").hidden = $("loading").hidden = true;
  $("caption").textContent = label;
}

// ---- enlarging

function chosenScale() {
  return Number(document.querySelector("input[name=scale]:checked")?.value ?? 1);
}

/** Draws with a bar over the stage where a second network takes long to load and to work. */
async function enlarged(vector, scale) {
  if (scale === 1) return engine.draw(vector);
  const size = `${model.image_size * scale} px`;
  let message = [`Enlarging to ${size}`];
  const show = () => waitFor(...message);
  let timer = setTimeout(() => { timer = null; show(); }, PATIENCE);
  const tell = (done, total) => {
    message = done < total ? [`Loading the network for ${size}: ${megabytes(done)} of ${megabytes(total)} MB`, done / total] : [`Enlarging to ${size}`];
    if (timer === null) show();
  };
  try {
    return await engine.draw(vector, scale, tell);
  } finally {
    clearTimeout(timer);
    $("loading").hidden = true;
  }
}

/** Draw what is on tiles anew, enlarged, one after the other; `wanted` says whether it still matters. */
async function sharpen(tiles, wanted) {
  for (const [button, one] of usual > 1 ? tiles : []) {
    if (!wanted()) return;
    const drawn = await engine.draw(toVector(model, one), usual);
    paint(button.querySelector("canvas"), drawn.picture);
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
  const factors = model.upscalers.map(({ scale }) => scale);
  usual = factors.includes(4) ? 4 : factors[0];
  const sizes = [{ scale: 1 }, ...model.upscalers].map(({ scale }) => {
    const input = element("input", { type: "radio", name: "scale", value: scale, checked: scale === usual });
    input.onchange = () => {
      $("size").value = scale === 1 ? "original" : scale;
      show(face, { remember: false });
    };
    const text = scale === 1 ? `${model.image_size} px` : `×${scale}: ${model.image_size * scale} px`;
    return element("label", {}, input, element("span", { className: "chip" }, text));
  });
  $("scales").append(...sizes);
  $("size").value = usual;
  $("upscaling").hidden = false;
}

function show(one, { remember = true } = {}) {
  face = one;
  stop();
  pointer.rest();
  $("morph").value = 0;
  const { values } = resolve(model, face);
  showValues(values);
  $("seed").value = face.seed;
  $("truncation").value = face.truncation;
  $("truncation-value").textContent = face.truncation.toFixed(2);
  if (model.filter) showFilter();
  $("python").textContent = python(face, values);
  history.replaceState(null, "", toAddress(face));
  const shown = face;
  return drawStage(toVector(model, face), describe(face), (drawn) => {
    paint($("morph-a").querySelector("canvas"), drawn);
    if (remember) past.add(shown, drawn);
  }, remember ? 0 : PAUSE);
}

function showFilter() {
  $("keep").checked = face.keep < 1;
  const share = face.keep < 1 ? face.keep : model.filter.keep;
  $("keep-share").textContent = `Only the best ${Math.round(share * 100)} % of the faces`;
}

function showValues(drawn) {
  for (const [name, control] of controls) control.set(face.values[name] === null ? [] : [face.values[name]], drawn[name]);
}

// ---- morphing

function morph() {
  const t = Number($("morph").value);
  return drawStage(onStage(), t > 0 ? `${Math.round(t * 100)} % of the way from seed ${face.seed} to ${end.seed}` : describe(face), null, PAUSE);
}

async function setEnd(one) {
  end = one;
  const vector = toVector(model, end);
  paint($("morph-b").querySelector("canvas"), (await engine.draw(vector)).picture);
  if (usual > 1) paint($("morph-b").querySelector("canvas"), (await engine.draw(vector, usual)).picture);
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
  $("save-grid").disabled = true;
  const sheet = element("canvas");
  const tiles = [];
  for (const [index, one] of faces.entries()) {
    const drawn = await engine.draw(toVector(model, one));
    if (run !== gridRun) return;
    const button = tile(drawn.picture, describe(one), () => { show(one); scrollTo({ top: 0, behavior: scrollBehavior() }); });
    tiles.push([button, one]);
    $("grid").append(button);
    toSheet(sheet, drawn.picture, index, faces.length);
    bar.value = (index + 1) / faces.length;
  }
  bar.hidden = true;
  $("save-grid").disabled = false;
  $("save-grid").onclick = () => save(sheet, `${model.name}-${face.seed}-sheet.png`);
  await sharpen(tiles, () => run === gridRun);
}

function toSheet(sheet, one, index, count) {
  const columns = Math.min(6, count);
  const step = one.width + 2;
  if (!index) Object.assign(sheet, { width: columns * step + 2, height: Math.ceil(count / columns) * step + 2 });
  sheet.getContext("2d").putImageData(one, 2 + (index % columns) * step, 2 + Math.floor(index / columns) * step);
}

// ---- downloads

/** What is drawn on the stage: the face, or a point of the morph, looking at the pointer. */
function onStage() {
  const t = Number($("morph").value);
  const vector = t ? blend(model, toVector(model, face), toVector(model, end), t) : toVector(model, face);
  const [x, y] = pointer.place();
  return x || y ? leaning(model, vector, x, y) : vector;
}

async function download() {
  const size = $("size").value;
  await drawStage.settled(); // a new face is one at once, its picture later
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
  const sizes = [["original", `${size} px`], ["enlarged", "512 px, smooth"]];
  for (const { scale } of model.upscalers) sizes.push([scale, `${size * scale} px`]);
  $("size").append(...sizes.map(([value, text]) => element("option", { value }, text)));
  if (model.upscalers.length) enlargeControl();
  $("filter").hidden = !model.filter;
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
  $("keep").onchange = ({ target }) => show({ ...face, keep: target.checked ? model.filter.keep : 1 });
  $("follow").onchange = ({ target }) => pointer.set(target.checked);
  $("morph").oninput = () => { stop(); morph(); };
  $("morph-a").onclick = () => show(face, { remember: false });
  $("morph-b").onclick = () => setEnd(face);
  $("swap").onclick = async () => { await setEnd({ ...randomFace(), ...(model.filter ? { keep: face.keep } : {}) }); morph(); };
  $("play").onclick = play;
  $("draw-grid").onclick = () => drawGrid().catch(fail);
  $("download").onclick = () => download().catch(fail);
  $("link").onclick = copyLink;
  $("forget").onclick = past.forget;
  addEventListener("hashchange", () => { const requested = fromAddress(); if (requested) show(requested); });
}

// Asking for a graphics card takes as long as starting the network: where there was none, the next visit does not ask.
const noCard = `${model.version} ${navigator.userAgent}`;

function backend() {
  const forced = new URLSearchParams(location.search).get("backend");
  return forced ?? (stored(`${memory}backend`) === noCard ? "wasm" : null);
}

// For tests, and for the curious with the console open.
window.kaogan = { model, engine, toVector, picture: () => picture, face: () => face, looking: pointer.place, settled: drawStage.settled };

const scope = new URL(".", location.href).href;
const requested = backend();
const starting = engine.start(model, requested, single ? null : `kaogan ${scope} ${model.version}`);
themeButton($("theme"), memory);
build();
wire();
if (!single) navigator.serviceWorker?.register("sw.js").catch(() => null); // absent on plain http: then a visit needs the network
try {
  const ready = await starting;
  if (ready.backend === "wasm" && !requested) store(`${memory}backend`, noCard);
  for (const id of ["new", "download", "morph", "play", "swap", "draw-grid"]) $(id).disabled = false;
  await show(face);
  const names = { wasm: "WebAssembly", webgpu: "WebGPU" };
  const first = (performance.getEntriesByName("first face")[0].startTime / 1000).toFixed(1); // from the address to the face
  $("status").textContent =
    `${names[ready.backend]}: first face after ${first} s, ${Math.max(1, Math.round(speed))} ms a face. ${ready.note}`;
  document.documentElement.dataset.backend = ready.backend;
  await setEnd(end);
  const tiles = await past.restore();
  engine.keep();
  if (model.follow && speed < FLUENT) {
    $("following").hidden = false;
    $("follow").checked = !reducedMotion();
    pointer.set($("follow").checked);
  }
  drawGrid().then(() => sharpen(tiles, () => true)).catch(fail);
} catch (error) {
  fail(error);
}
