// The chosen face: large, its neighbours, and sliders along directions.

import { $, element, scrollBehavior } from "./kit/dom.js";
import { tint } from "./kit/tint.js";
import { showFaces } from "./gallery.js";
import { address, get, later, newest } from "./parts.js";
import { beginning, change, given, none, param } from "./state.js";
import * as morph from "./morph.js";
import { remember } from "./past.js";

let choose = () => {};
let able = { directions: false, scales: [] };
let found = null; // the directions of which model and method
let of = null; // the model's facts

/** The face with its attributes and moves, as one parameter of an address. */
export const look = () => new URLSearchParams(given({ face: param("face"), d: source(), ...beginning("a.", "m.") })).toString();

/** The file whose directions the sliders are, if it is one: "file:" and its name. */
const source = () => (param("method").startsWith("file:") ? param("method") : "");

const requestParams = () => given({
  model: param("model"), truncation: param("truncation"), keep: param("keep"), face: param("face"), d: source(), ...beginning("a.", "m."),
});
const scale = () => param("scale", able.scales.includes(4) ? "4" : "1");
const sized = () => (scale() === "1" ? requestParams() : { ...requestParams(), scale: scale() });

/** First the face as the generator draws it, then enlarged. */
const draw = newest(
  (signal) => {
    sharpen.stop(); // it is about the face before
    return get("api/face", requestParams(), signal);
  },
  ({ faces: [{ picture }] }) => {
    put(picture);
    $("face").alt = `Face ${param("face")}${describe()}`;
    $("save-face").href = address("api/face", { ...sized(), save: "png" });
    if (scale() !== "1") sharpenLater();
  },
  $("face"),
);
const sharpen = newest((signal) => get("api/face", sized(), signal), ({ faces: [{ picture }] }) => put(picture));
const sharpenLater = later(() => { if (param("face")) sharpen(); }, 200);

async function put(picture) {
  if (!param("face")) return; // it was closed meanwhile
  const query = new URLSearchParams(location.search);
  query.delete("page");
  $("face").src = picture;
  try {
    await $("face").decode();
  } catch {
    return; // another one has taken its place
  }
  tint($("face"));
  rememberLater(String(query));
}
let rememberLast = () => {};
const rememberSoon = later(() => rememberLast(), 900);
const rememberLater = (query) => {
  rememberLast = () => remember(query, $("face"));
  rememberSoon();
};
const around = newest(
  (signal) => get("api/around", { ...requestParams(), radius: param("radius", "50"), count: "8" }, signal),
  ({ faces }) => showFaces($("around"), faces, "", (name) => choose(name, true)),
  $("around"),
);
const drawLater = later(draw, 90);
const aroundLater = later(around, 350);

const directions = newest(
  (signal, model, method) => get("api/directions", { model, method }, signal),
  ({ names, labels, strongest }, model, method) => {
    found = `${model} ${method}`;
    $("sliders").replaceChildren(...names.map((name) => slider(name, labels[name], strongest)));
    previewsLater();
  },
  $("sliders"),
);

/** Thumbnails of both ends of each slider. */
const previews = newest(
  (signal) => get("api/previews", { ...requestParams(), method: $("method").value }, signal),
  (pairs) => {
    for (const [name, pictures] of Object.entries(pairs)) {
      const ends = $("sliders").querySelectorAll(`[data-end="${CSS.escape(name)}"]`);
      pictures.forEach((picture, at) => ends[at]?.replaceWith(element("img", { src: picture, alt: "", "data-end": name })));
    }
  },
);
const previewsLater = later(() => { if (param("face") && $("method").value !== "tagger") previews(); }, 300);

const describe = () =>
  Object.entries(beginning("a.")).map(([name, value]) => `, ${name.slice(2)} ${value.replaceAll(",", " and ")}`).join("");

function slider(name, label, strongest) {
  const [less, more] = label ?? ["", name];
  const range = element("input", { type: "range", min: -strongest, max: strongest, step: 0.25, value: param(`m.${name}`, "0") });
  range.setAttribute("aria-label", label && less ? `from ${less} to ${more}` : name);
  range.dataset.move = name;
  range.addEventListener("input", () => {
    change({ [`m.${name}`]: Number(range.value) ? range.value : null });
    drawLater();
    aroundLater();
  });
  range.addEventListener("dblclick", () => {
    range.value = 0;
    range.dispatchEvent(new Event("input"));
  });
  const end = () => element("i", { "data-end": name });
  const words = element("div", { className: "words" }, element("span", {}, less), element("span", {}, more));
  return element("div", { className: "slider" }, end(), element("div", {}, words, range), end());
}

function showSliders() {
  for (const range of $("sliders").querySelectorAll("input")) {
    range.value = param(`m.${range.dataset.move}`, "0");
  }
}

const METHOD_LABELS = { sefa: "what changes most (SeFa)", pca: "what varies most (PCA)", tagger: "hair and eyes (tagger)" };

function showMethods() {
  const files = of.directions.map((file) => [`file:${file}`, file]);
  $("method").replaceChildren(...[...Object.entries(METHOD_LABELS), ...files].map(([value, text]) => element("option", { value }, text)));
  $("method").value = param("method", "sefa");
}

export function show(model, focus) {
  const face = param("face");
  of = model;
  $("face-panel").hidden = !face;
  if (!face) return;
  const [seed, number] = face.split("~")[0].split(".");
  $("face-title").textContent = seed.startsWith("u") ? "Your face" : `Face ${Number(number) + 1} of seed ${seed}`;
  const steps = face.split("~").length - 1;
  if (steps) $("face-title").textContent += ` · ${steps} ${steps === 1 ? "step" : "steps"}`;
  $("radius").value = param("radius", "50");
  $("radius-shown").value = `${$("radius").value} %`;
  showMethods();
  $("scale").value = scale();
  const key = `${param("model")} ${$("method").value}`;
  if (able.directions && found !== key) directions(param("model"), $("method").value);
  else previewsLater();
  showSliders();
  draw();
  around();
  if (focus) {
    $("face-title").focus({ preventScroll: true });
    if (matchMedia("(max-width: 1120px)").matches) {
      $("face-panel").scrollIntoView({ behavior: scrollBehavior() });
    }
  }
}

export function begin(overview, chooser) {
  choose = chooser;
  able = overview;
  $("directions").hidden = !able.directions;
  $("scale").hidden = !able.scales.length;
  $("scale").replaceChildren(
    element("option", { value: "1" }, "as drawn"), ...able.scales.map((scale) => element("option", { value: String(scale) }, `×${scale}`)),
  );
  $("method").addEventListener("change", () => {
    change({ method: $("method").value, ...none("m.") });
    show(of);
  });
  $("scale").addEventListener("change", () => {
    change({ scale: $("scale").value });
    draw();
  });
  $("reset-moves").addEventListener("click", () => {
    change(none("m."));
    show(of);
  });
  $("radius").addEventListener("input", () => {
    $("radius-shown").value = `${$("radius").value} %`;
    change({ radius: $("radius").value });
    aroundLater();
  });
  $("close-face").addEventListener("click", () => {
    const name = param("face").split("~")[0];
    choose("", true);
    ($("grid").querySelector(`[data-face="${name}"]`) ?? $("grid-title")).focus();
  });
  for (const end of ["from", "to"]) {
    $(`set-${end}`).addEventListener("click", () => {
      change({ [end]: look() }, true);
      morph.show();
    });
  }
}
