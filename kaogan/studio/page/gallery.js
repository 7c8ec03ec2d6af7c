// Grids of faces, and the links that save them.

import { element } from "./kit/dom.js";
import { tile } from "./kit/pictures.js";
import { address } from "./parts.js";

/** Fill a grid with buttons, one for each of `faces`; the one named `chosen` is pressed. */
export function showFaces(grid, faces, chosen, choose) {
  const buttons = faces.map(({ face: name, picture }, number) => {
    const button = tile(picture, `face ${number + 1}`, () => choose(name));
    button.setAttribute("aria-pressed", String(name === chosen));
    button.dataset.face = name;
    return button;
  });
  grid.replaceChildren(...buttons);
}

/** A listener for key presses in a grid: arrow keys go from one button to the next. */
export function moveByArrows(event) {
  const buttons = [...event.currentTarget.querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  const across = getComputedStyle(event.currentTarget).gridTemplateColumns.split(" ").length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key];
  if (at < 0 || !step) return;
  event.preventDefault();
  buttons[Math.min(buttons.length - 1, Math.max(0, at + step))].focus();
}

/** Show links that save what `path` draws for `params`. */
export function saveLinks(place, path, params) {
  const link = (text, kind) => element("a", { href: address(path, { ...params, save: kind }), download: "" }, text);
  place.replaceChildren(link("Download sheet", "png"), link("Download all (zip)", "zip"));
}
