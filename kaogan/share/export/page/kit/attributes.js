// Attribute pickers: colours as swatches, few words as chips, many as a list.

import { capital, element } from "./dom.js";

const COLOURS = {
  aqua: "#5ccfd6", black: "#2b2730", blonde: "#f0d27a", blue: "#4c79dc", brown: "#85553a", gray: "#9aa0ab",
  green: "#5bb56b", grey: "#9aa0ab", orange: "#ec8a3c", pink: "#f48fbb", purple: "#9361d6", red: "#d8474a",
  silver: "#cfd4dc", violet: "#8a63d8", white: "#f6f3f1", yellow: "#f1cb45",
};
const MAX_CHIPS = 24;

/** The CSS colour that a value is the name of, or null. */
export function colour(value) {
  const name = value.toLowerCase().replace(/[ _-]?hair$|[ _-]?eyes?$/, "");
  return COLOURS[name] ?? (/^[a-z]+$/.test(name) && CSS.supports("color", name) ? name : null);
}

/**
 * The control of an attribute {name, values}.
 *
 * `onPick(chosen)` gets the chosen values, none of them for any. With `mix`, a button allows several at once.
 * Returns {node, set(chosen, drawn)}; `drawn` is the value that "any" stands for, where it is known.
 */
export function attributePicker(attribute, onPick, { mix = false } = {}) {
  const { name, values } = attribute;
  const output = element("output");
  const legend = element("legend", {}, element("span", {}, capital(name)), output);
  const few = values.every(colour) || values.length <= MAX_CHIPS;
  const inner = few ? swatches(attribute, onPick) : list(attribute, onPick);
  if (mix && few) legend.append(inner.mixButton);
  return {
    node: element("fieldset", { className: "picker" }, legend, inner.node),
    set(chosen, drawn) {
      inner.set(chosen);
      output.textContent = chosen.join(", ") || (drawn === undefined ? "" : `any: ${drawn}`);
    },
  };
}

/** Radio buttons or, while values are mixed, check boxes that look the same. */
function swatches({ name, values }, onPick) {
  const coloured = values.every(colour);
  let chosen = [];
  let mixing = false;
  const inputs = new Map();
  const mixButton = element(
    "button", { type: "button", className: "mix", title: "Choose several, for a mixture", "aria-label": `mix several values of ${name}` }, "mix",
  );
  const show = () => {
    mixButton.setAttribute("aria-pressed", String(mixing));
    for (const [value, input] of inputs) {
      input.type = mixing && value !== null ? "checkbox" : "radio";
      input.checked = value === null ? !chosen.length : chosen.includes(value);
    }
  };
  const pick = (value) => {
    if (value === null) chosen = [];
    else if (!mixing) chosen = [value];
    else chosen = chosen.includes(value) ? chosen.filter((each) => each !== value) : [...chosen, value];
    show();
    onPick(chosen);
  };
  mixButton.addEventListener("click", () => {
    mixing = !mixing;
    const several = chosen.length > 1;
    if (several) chosen = chosen.slice(-1);
    show();
    if (several) onPick(chosen);
  });
  const labels = [null, ...values].map((value) => {
    const label = value === null ? `any ${name}` : `${name} ${value}`;
    const input = element("input", { type: "radio", name: `attribute ${name}`, "aria-label": label, onchange: () => pick(value) });
    inputs.set(value, input);
    const mark = element("span", { className: coloured ? "dot" : "chip" }, coloured ? "" : value ?? "any");
    if (coloured && value === null) mark.classList.add("any");
    else if (coloured) mark.style.background = colour(value);
    return element("label", { title: value ?? "any" }, input, mark);
  });
  show();
  const set = (values) => {
    chosen = values;
    mixing ||= chosen.length > 1;
    show();
  };
  return { node: element("div", { className: "swatches" }, ...labels), set, mixButton };
}

function list({ name, values }, onPick) {
  const options = ["any", ...values].map((text, index) => element("option", { value: String(index - 1) }, text));
  const select = element("select", { "aria-label": name }, ...options);
  select.addEventListener("change", () => onPick(select.value === "-1" ? [] : [values[Number(select.value)]]));
  return { node: select, set: ([value]) => (select.value = String(values.indexOf(value))) };
}
