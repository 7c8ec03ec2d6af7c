// From one face to another.

import { $ } from "./kit/dom.js";
import { saveLinks } from "./gallery.js";
import { get, newest } from "./parts.js";
import { change, given, word } from "./state.js";

const STEPS = 17;
let frames = [];

const asked = () => given({ model: word("model"), truncation: word("truncation"), from: word("from"), to: word("to"), steps: STEPS });

const draw = newest(
  (signal) => get("/api/morph", asked(), signal),
  ({ faces }) => {
    frames = faces.map(({ picture }) => picture);
    $("morph-from").src = frames[0];
    $("morph-to").src = frames.at(-1);
    saveLinks($("morph-saves"), "/api/morph", asked());
    showWay();
  },
  $("morph-stage"),
);

function showWay() {
  const at = Number($("way").value);
  $("way-shown").value = `${Math.round((100 * at) / (STEPS - 1))} %`;
  if (frames[at]) $("morph-now").src = frames[at];
  $("morph-now").alt = `The face at ${$("way-shown").value} of the way`;
}

export function show() {
  const [from, to] = [word("from"), word("to")];
  $("morph-panel").hidden = !(from || to || word("face"));
  $("morph-stage").hidden = !(from && to);
  $("morph-saves").hidden = !(from && to);
  $("morph-hint").hidden = Boolean(from && to);
  $("morph-hint").textContent = from ? "Now choose another face and press “Morph to”." : to
    ? "Now choose another face and press “Morph from”."
    : "Choose a face and press “Morph from”, then another one and “Morph to”.";
  $("way").value = word("way", String((STEPS - 1) / 2));
  if (from && to) draw();
}

export function begin() {
  $("way").addEventListener("input", () => {
    change({ way: $("way").value });
    showWay();
  });
  $("swap").addEventListener("click", () => {
    change({ from: word("to"), to: word("from") }, true);
    show();
  });
  $("clear-morph").addEventListener("click", () => {
    change({ from: null, to: null, way: null }, true);
    show();
  });
}
