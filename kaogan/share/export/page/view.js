// Pieces of the page: colours, pictures on canvases, the controls of an attribute.

const COLOURS = {
  aqua: "#5ccfd6", black: "#2b2730", blonde: "#f0d27a", blue: "#4c79dc", brown: "#85553a", gray: "#9aa0ab",
  green: "#5bb56b", grey: "#9aa0ab", orange: "#ec8a3c", pink: "#f48fbb", purple: "#9361d6", red: "#d8474a",
  silver: "#cfd4dc", violet: "#8a63d8", white: "#f6f3f1", yellow: "#f1cb45",
};
const MOST_CHIPS = 18;

export const element = (id) => document.getElementById(id);

/** The CSS colour that a value is the name of, or null. */
export function colour(value) {
  const name = value.toLowerCase().replace(/[ _-]?hair$|[ _-]?eyes?$/, "");
  return COLOURS[name] ?? (/^[a-z]+$/.test(name) && CSS.supports("color", name) ? name : null);
}

/** Draw an ImageData on a canvas of any size, smoothly. */
export function paint(canvas, picture) {
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(toCanvas(picture), 0, 0, canvas.width, canvas.height);
}

export function toCanvas(picture) {
  const canvas = make("canvas", { width: picture.width, height: picture.height });
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

export function make(tag, properties = {}, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** A button that shows a picture. */
export function tile(picture, label, onclick) {
  const canvas = make("canvas", { width: 128, height: 128 });
  paint(canvas, picture);
  const button = make("button", { type: "button", className: "tile", title: label, onclick }, [canvas]);
  button.setAttribute("aria-label", label);
  return button;
}

export function save(canvas, name) {
  canvas.toBlob((blob) => {
    const link = make("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }, "image/png");
}

/** Colours as swatches, few words as chips, many as a list. `onpick(value or null)`; returns {node, set(asked, drawn)}. */
export function attributeControl(attribute, onpick) {
  const { name, values } = attribute;
  const output = make("output");
  const legend = make("legend", {}, [make("span", { textContent: capital(name) }), output]);
  const colours = values.map(colour);
  const few = colours.every(Boolean) || values.length <= MOST_CHIPS;
  const inner = few ? radios(name, values, colours, onpick) : list(name, values, onpick);
  return {
    node: make("fieldset", {}, [legend, inner.node]),
    set(asked, drawn) {
      inner.set(asked);
      output.textContent = asked ?? `any: ${drawn}`;
    },
  };
}

function radios(name, values, colours, onpick) {
  const swatches = colours.every(Boolean);
  const inputs = new Map();
  const labels = [null, ...values].map((value, index) => {
    const input = make("input", { type: "radio", name: `attribute ${name}`, onchange: () => onpick(value) });
    input.setAttribute("aria-label", value ?? "any");
    inputs.set(value, input);
    const mark = make("span", { className: swatches ? "dot" : "chip" });
    if (!swatches) mark.textContent = value ?? "any";
    else if (value === null) mark.classList.add("any");
    else mark.style.background = colours[index - 1];
    return make("label", { title: value ?? "any" }, [input, mark]);
  });
  return { node: make("div", { className: "swatches" }, labels), set: (asked) => (inputs.get(asked).checked = true) };
}

function list(name, values, onpick) {
  const options = ["any", ...values].map((text, index) => make("option", { value: String(index - 1), textContent: text }));
  const select = make("select", { onchange: () => onpick(values[Number(select.value)] ?? null) }, options);
  select.setAttribute("aria-label", name);
  return { node: select, set: (asked) => (select.value = String(values.indexOf(asked))) };
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1).replaceAll("_", " ");
