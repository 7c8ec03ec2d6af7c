// The page Make: its controls and the grid of faces.

import { attributePicker } from "./kit/attributes.js";
import { $, element, randomSeed } from "./kit/dom.js";
import { moveByArrows, saveLinks, showFaces } from "./gallery.js";
import { get, later, newest } from "./parts.js";
import { beginning, change, given, none, param } from "./state.js";
import * as face from "./face.js";
import { tint } from "./kit/tint.js";
import * as film from "./film.js";
import * as find from "./find.js";
import * as morph from "./morph.js";
import * as past from "./past.js";
import * as share from "./share.js";

let model = null; // what the server tells of the model in the address
const pickers = new Map(); // by the names of attributes

const requestParams = () => ({
  model: param("model"), truncation: param("truncation"), keep: param("keep"), seed: param("seed"), count: param("count", "24"), ...beginning("a."),
});

const sized = () => ({ ...requestParams(), scale: param("grid.scale") });

const sharpen = newest(
  (signal) => get("api/faces", given(sized()), signal),
  ({ faces }) => showFaces($("grid"), faces, param("face"), (name) => choose(name, true)),
);

const draw = newest(
  (signal) => {
    sharpen.stop(); // it is about the faces before
    return get("api/faces", given(requestParams()), signal);
  },
  ({ faces }) => {
    showFaces($("grid"), faces, param("face"), (name) => choose(name, true));
    $("grid-title").textContent = `${faces.length} ${faces.length === 1 ? "face" : "faces"} of seed ${param("seed", "0")}`;
    saveLinks($("grid-saves"), "api/faces", given(sized()));
    const [first] = $("grid").querySelectorAll("img");
    if (first && !param("face")) first.decode().then(() => tint(first), () => null);
    if (param("grid.scale")) sharpen();
  },
  $("grid"),
);
const drawLater = later(draw, 150);

const open = newest(
  (signal, name) => get("api/model", { model: name }, signal),
  (found) => {
    model = found;
    const kept = Object.keys(beginning("a.")).filter((name) => !model.attributes.some((a) => `a.${a.name}` === name));
    change(Object.fromEntries([...kept, ...(model.keep ? [] : ["keep"])].map((name) => [name, null])));
    $("facts").textContent = [
      model.recipe, `${model.image_size} px`, model.clock ? `${Number(model.clock).toLocaleString("en")} images` : "",
    ].filter(Boolean).join(" · ");
    showPickers();
    showControls();
    all();
  },
);

/** Open the panel of a face. */
function choose(name, byHand) {
  change({ face: name, ...(byHand ? none("m.") : {}) }, byHand);
  mark();
  face.show(model, byHand);
}

function mark() {
  for (const button of $("grid").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.face === param("face")));
  }
  $("make").classList.toggle("chosen", Boolean(param("face")));
}

/** Everything that depends on the model, truncation and attributes. */
function all() {
  draw();
  mark();
  face.show(model);
  morph.show();
  film.show();
}

function showPickers() {
  pickers.clear();
  for (const attribute of model.attributes) {
    const pick = (chosen) => {
      change({ [`a.${attribute.name}`]: chosen.join(",") });
      all();
    };
    pickers.set(attribute.name, attributePicker(attribute, pick, { mix: true }));
  }
  $("attributes").replaceChildren(...[...pickers.values()].map((picker) => picker.node));
}

function showControls() {
  $("seed").value = param("seed", "0");
  $("truncation").value = param("truncation", "1");
  $("truncation-shown").value = Number($("truncation").value).toFixed(2);
  $("keep-label").hidden = !model?.keep;
  $("keep-share").textContent = `Only the best ${Math.round((model?.keep ?? 1) * 100)} % of the faces`;
  $("keep").checked = param("keep") !== "1";
  $("count").value = param("count", "24");
  $("grid-scale").value = param("grid.scale");
  for (const [name, picker] of pickers) picker.set(param(`a.${name}`).split(",").filter(Boolean));
}

export function begin(overview) {
  $("model").addEventListener("change", () => {
    change({ model: $("model").value, face: null, from: null, to: null, ...none("m.") }, true);
    enter();
  });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("seed").dataset.param = "seed";
  $("count").dataset.param = "count";
  for (const name of ["seed", "count"]) {
    $(name).addEventListener("input", () => {
      change({ [name]: $(name).value.trim() });
      drawLater();
      film.show();
    });
  }
  $("dice").addEventListener("click", () => {
    $("seed").value = randomSeed();
    change({ seed: $("seed").value }, true);
    draw();
    film.show();
  });
  const everything = later(all, 180);
  $("truncation").addEventListener("input", () => {
    $("truncation-shown").value = Number($("truncation").value).toFixed(2);
    change({ truncation: $("truncation").value === "1" ? null : $("truncation").value });
    everything();
  });
  $("keep").addEventListener("change", () => {
    change({ keep: $("keep").checked ? null : "1" }, true);
    all();
  });
  $("grid-scale").hidden = !overview.scales.length;
  $("grid-scale").append(element("option", { value: "" }, "as drawn"), ...overview.scales.map((scale) => element("option", { value: String(scale) }, `enlarged ×${scale}`)));
  $("grid-scale").addEventListener("change", () => {
    change({ "grid.scale": $("grid-scale").value });
    draw();
  });
  for (const grid of [$("grid"), $("around")]) grid.addEventListener("keydown", moveByArrows);
  face.begin(overview, choose);
  morph.begin();
  film.begin();
  find.begin(overview, choose);
  share.begin();
  past.begin((query) => {
    history.pushState(null, "", `?${query}`);
    enter();
  });
}

export function enter() {
  if (!param("model")) {
    $("grid").replaceChildren(element("p", { className: "soft" }, "No model here yet. Train one, or start the studio with a folder of models."));
    return;
  }
  $("model").value = param("model");
  showControls();
  film.show();
  find.enter();
  open(param("model"));
}
