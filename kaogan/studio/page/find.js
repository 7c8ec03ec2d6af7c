// A face of the visitor's: the model's own that is most like it.

import { $, element } from "./kit/dom.js";
import { dropArea, upload } from "./drop.js";
import { longWork } from "./parts.js";
import { param } from "./state.js";

let choose = () => {};
let of = ""; // the model whose face is shown

async function find([file]) {
  if (!file) return;
  $("find-shown").hidden = true;
  const begin = () => upload("api/project", { model: param("model") }, file);
  const model = param("model");
  const job = await longWork(begin, $("find-job"), $("find-choose"));
  if (!job || param("model") !== model) return;
  const { face, target, picture } = job.result;
  const figure = (source, text) => element("figure", {}, element("img", { src: source, alt: text }), element("figcaption", {}, text));
  const button = element("button", { type: "button", className: "button" }, "Change it");
  button.addEventListener("click", () => choose(face, true));
  $("find-shown").replaceChildren(figure(target, "Your picture"), figure(picture, "The model's"), button);
  $("find-shown").hidden = false;
  of = model;
}

/** Of another model the same latent is another face. */
export function enter() {
  if (param("model") !== of) $("find-shown").hidden = true;
}

export function begin(overview, chooser) {
  choose = chooser;
  $("find-choose").disabled = !overview.training;
  dropArea($("find-drop"), $("find-choose"), $("find-file"), find);
}
