// The chosen face: large, its neighbours, and sliders along directions.

import { $, element, scrollBehavior } from "./kit/dom.js";
import { showFaces } from "./gallery.js";
import { address, get, later, newest } from "./parts.js";
import { beginning, change, given, none, param } from "./state.js";
import * as morph from "./morph.js";

let choose = () => {};
let able = { directions: false, scales: [] };
let found = null; // the directions of which model and method
let of = null; // the model's facts

/** The face with its attributes and moves, as one parameter of an address. */
export const look = () => new URLSearchParams(given({ face: param("face"), d: source(), ...beginning("a.", "m.") })).toString();

/** The file whose directions the sliders are, if it is one: "file:" and its name. */
const source = () => (param("method").startsWith("file:") ? param("method") : "");

const requestParams = () => given({
  model: param("model"), truncation: param("truncation"), face: param("face"), d: source(), ...beginning("a.", "m."),
});
const sized = () => (param("scale") ? { ...requestParams(), scale: param("scale") } : requestParams());

const draw = newest(
  (signal) => get("api/face", sized(), signal),
  ({ faces: [{ picture }] }) => {
    $("face").src = picture;
    $("face").alt = `Face ${param("face")}${describe()}`;
    $("save-face").href = address("api/face", { ...sized(), save: "png" });
  },
  $("face"),
);
const around = newest(
  (signal) => get("api/around", { ...requestParams(), radius: param("radius", "50"), count: "8" }, signal),
  ({ faces }) => showFaces($("around"), faces, "", (name) => choose(name, true)),
  $("around"),
);
const drawLater = later(draw, 90);
const aroundLater = later(around, 350);

const directions = newest(
  (signal, model, method) => get("api/directions", { model, method }, signal),
  ({ names, strongest }, model, method) => {
    found = `${model} ${method}`;
    $("sliders").replaceChildren(...names.map((name) => slider(name, strongest)));
  },
  $("sliders"),
);

const describe = () =>
  Object.entries(beginning("a.")).map(([name, value]) => `, ${name.slice(2)} ${value.replaceAll(",", " and ")}`).join("");

function slider(name, strongest) {
  const shown = element("output", {}, "0");
  const range = element("input", { type: "range", min: -strongest, max: strongest, step: 0.25, value: param(`m.${name}`, "0") });
  range.setAttribute("aria-label", `direction ${name}`);
  range.dataset.move = name;
  shown.value = Number(range.value);
  range.addEventListener("input", () => {
    shown.value = Number(range.value);
    change({ [`m.${name}`]: Number(range.value) ? range.value : null });
    drawLater();
    aroundLater();
  });
  range.addEventListener("dblclick", () => {
    range.value = 0;
    range.dispatchEvent(new Event("input"));
  });
  return element("label", { className: "slider" }, element("span", {}, name), range, shown);
}

function showSliders() {
  for (const range of $("sliders").querySelectorAll("input")) {
    range.value = param(`m.${range.dataset.move}`, "0");
    range.parentElement.querySelector("output").value = Number(range.value);
  }
}

const METHOD_LABELS = { sefa: "strongest (SeFa)", pca: "of most variety (PCA)", tagger: "hair and eyes (tagger)" };

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
  $("face-title").textContent = `Face ${face.split("~")[0]}`;
  const steps = face.split("~").length - 1;
  if (steps) $("face-title").textContent += ` · ${steps} ${steps === 1 ? "step" : "steps"}`;
  $("radius").value = param("radius", "50");
  $("radius-shown").value = `${$("radius").value} %`;
  showMethods();
  $("scale").value = param("scale");
  const key = `${param("model")} ${$("method").value}`;
  if (able.directions && found !== key) directions(param("model"), $("method").value);
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
    element("option", { value: "" }, "as it is"), ...able.scales.map((scale) => element("option", { value: String(scale) }, `×${scale}`)),
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
