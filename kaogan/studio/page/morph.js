// Morph: from one face to another.

import { $ } from "./kit/dom.js";
import { saveLinks } from "./gallery.js";
import { get, newest } from "./parts.js";
import { change, given, param } from "./state.js";

const STEPS = 17;
let frames = [];

const requestParams = () => given({ model: param("model"), truncation: param("truncation"), keep: param("keep"), from: param("from"), to: param("to"), steps: STEPS });

const draw = newest(
  (signal) => get("api/morph", requestParams(), signal),
  ({ faces }) => {
    frames = faces.map(({ picture }) => picture);
    $("morph-from").src = frames[0];
    $("morph-to").src = frames.at(-1);
    saveLinks($("morph-saves"), "api/morph", requestParams());
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
  const [from, to] = [param("from"), param("to")];
  $("morph-stage").hidden = !(from && to);
  $("morph-saves").hidden = !(from && to);
  $("morph-hint").hidden = Boolean(from && to);
  $("morph-hint").textContent = from ? "Now choose another face and press “Morph to”." : to
    ? "Now choose another face and press “Morph from”."
    : "Choose a face and press “Morph from”, then another one and “Morph to”.";
  $("way").value = param("way", String((STEPS - 1) / 2));
  if (from && to) draw();
}

export function begin() {
  $("way").addEventListener("input", () => {
    change({ way: $("way").value });
    showWay();
  });
  $("swap").addEventListener("click", () => {
    change({ from: param("to"), to: param("from") }, true);
    show();
  });
  $("clear-morph").addEventListener("click", () => {
    change({ from: null, to: null, way: null }, true);
    show();
  });
}
