// Making faces: the controls and the grid.

import { $, address, element, get, later, newest, say } from "./parts.js";
import { beginning, change, none, word } from "./state.js";
import * as face from "./face.js";
import * as film from "./film.js";
import * as morph from "./morph.js";

const SWATCHES = 24; // more values than that are a list
const COLOURS = {
  orange: "#f0913a", white: "#f4f3f1", aqua: "#5cc9c6", gray: "#9a9a9e", green: "#4f9d5d", red: "#cf3f3c",
  purple: "#8d5bb0", pink: "#f08fb0", blue: "#4a78cf", black: "#2c282b", brown: "#7d5138", blonde: "#ecd27c",
  yellow: "#e9c83f", silver: "#c3c6cc", grey: "#9a9a9e",
};
let model = null; // what the server tells of the model in the address

export const asked = () => ({
  model: word("model"), truncation: word("truncation"), seed: word("seed"), count: word("count", "24"), ...beginning("a."),
});

const draw = newest(
  (signal) => get("/api/faces", given(asked()), signal),
  ({ faces }) => {
    showFaces($("grid"), faces, word("face"), (name) => choose(name, true));
    $("grid-title").textContent = `${faces.length} ${faces.length === 1 ? "face" : "faces"} of seed ${word("seed", "0")}`;
    saves($("grid-saves"), "/api/faces", given(asked()));
  },
  $("grid"),
);
const drawLater = later(draw, 150);

const open = newest(
  (signal, name) => get("/api/model", { model: name }, signal),
  (found) => {
    model = found;
    const kept = Object.keys(beginning("a.")).filter((name) => !model.attributes.some((a) => `a.${a.name}` === name));
    change(Object.fromEntries(kept.map((name) => [name, null])));
    $("facts").textContent = [
      model.recipe, `${model.image_size} px`, model.clock ? `${Number(model.clock).toLocaleString("en")} images` : "",
    ].filter(Boolean).join(" · ");
    showControls();
    all();
  },
);

export const given = (words) => Object.fromEntries(Object.entries(words).filter(([, value]) => value !== "" && value != null));

/** Fill a grid with buttons; arrow keys go from one to the next. */
export function showFaces(grid, faces, chosen, choose) {
  const buttons = faces.map(({ face: name, picture }, number) => {
    const image = element("img", { src: picture, alt: "" });
    const button = element(
      "button",
      { type: "button", "aria-label": `face ${number + 1}`, "aria-pressed": String(name === chosen) }, image,
    );
    button.dataset.face = name;
    button.addEventListener("click", () => choose(name));
    return button;
  });
  grid.replaceChildren(...buttons);
}

function arrows(event) {
  const buttons = [...event.currentTarget.querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  const across = getComputedStyle(event.currentTarget).gridTemplateColumns.split(" ").length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key];
  if (at < 0 || !step) return;
  event.preventDefault();
  buttons[Math.min(buttons.length - 1, Math.max(0, at + step))].focus();
}

export function saves(place, path, words) {
  const link = (text, kind) => element("a", { href: address(path, { ...words, save: kind }), download: "" }, text);
  place.replaceChildren(link("Save sheet", "png"), link("Save all (zip)", "zip"));
}

/** Open the panel of a face. */
export function choose(name, byHand) {
  change({ face: name, ...(byHand ? { ...none("m."), scale: null } : {}) }, byHand);
  mark();
  face.show(model, byHand);
}

function mark() {
  for (const button of $("grid").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.face === word("face")));
  }
  $("make").classList.toggle("chosen", Boolean(word("face")));
}

/** Everything that depends on the model, truncation and attributes. */
function all() {
  draw();
  mark();
  face.show(model);
  morph.show();
  film.show();
}

function showControls() {
  $("seed").value = word("seed", "0");
  $("truncation").value = word("truncation", "1");
  $("truncation-shown").value = Number($("truncation").value).toFixed(2);
  $("count").value = word("count", "24");
  if (model) $("swatches").replaceChildren(...model.attributes.map(group));
}

function group(attribute) {
  const key = `a.${attribute.name}`;
  const chosen = word(key).split(",").filter(Boolean);
  const set = (values) => {
    change({ [key]: values.join(",") });
    showControls();
    $("swatches").querySelector(`[data-value="${CSS.escape(`${key}=${values.at(-1) ?? ""}`)}"]`)?.focus();
    all();
  };
  const name = element("span", { id: `name-${attribute.name}` }, attribute.name);
  if (attribute.values.length > SWATCHES) {
    const list = element("select", { id: `list-${attribute.name}` }, element("option", { value: "" }, "as it comes"));
    list.append(...attribute.values.map((value) => element("option", { value }, value)));
    list.value = chosen[0] ?? "";
    list.addEventListener("change", () => set(list.value ? [list.value] : []));
    return element("div", {}, element("label", { htmlFor: list.id }, attribute.name), list);
  }
  const mixing = chosen.length > 1 || mixed.has(key);
  const mix = element("button", { type: "button", "aria-pressed": String(mixing), title: "Choose several, for a mixture" }, "mix");
  mix.setAttribute("aria-label", `mix several values of ${attribute.name}`);
  mix.addEventListener("click", () => {
    mixing ? mixed.delete(key) : mixed.add(key);
    if (mixing && chosen.length > 1) set(chosen.slice(-1));
    else showControls();
  });
  const buttons = ["", ...attribute.values].map((value) => {
    const pressed = value ? chosen.includes(value) : !chosen.length;
    const colour = COLOURS[value];
    const button = element(
      "button",
      { type: "button", className: colour ? "swatch" : "chip", title: value || "as it comes", "aria-pressed": String(pressed) },
      colour ? "" : value || "any",
    );
    button.setAttribute("aria-label", value ? `${attribute.name} ${value}` : `any ${attribute.name}`);
    button.dataset.value = `${key}=${value}`;
    if (colour) button.style.background = colour;
    button.addEventListener("click", () => {
      if (!value) set([]);
      else if (mixing) set(pressed ? chosen.filter((each) => each !== value) : [...chosen, value]);
      else set(pressed ? [] : [value]);
    });
    return button;
  });
  return element(
    "div", { role: "group", "aria-labelledby": name.id },
    element("div", { className: "legend" }, name, mix), element("div", { className: "group" }, ...buttons),
  );
}
const mixed = new Set(); // attributes of which several values may be chosen

export function begin(overview) {
  $("model").addEventListener("change", () => {
    change({ model: $("model").value, face: null, from: null, to: null, scale: null, ...none("m.") }, true);
    enter();
  });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("seed").dataset.word = "seed";
  $("count").dataset.word = "count";
  for (const name of ["seed", "count"]) {
    $(name).addEventListener("input", () => {
      change({ [name]: $(name).value.trim() });
      drawLater();
      film.show();
    });
  }
  $("dice").addEventListener("click", () => {
    $("seed").value = crypto.getRandomValues(new Uint32Array(1))[0];
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
  for (const grid of [$("grid"), $("around")]) grid.addEventListener("keydown", arrows);
  face.begin(overview, choose);
  morph.begin();
  film.begin();
}

export function enter() {
  if (!word("model")) {
    $("grid").replaceChildren(element("p", { className: "soft" }, "No model here yet. Train one, or start the studio with a folder of models."));
    return;
  }
  $("model").value = word("model");
  showControls();
  film.show();
  open(word("model"));
}
