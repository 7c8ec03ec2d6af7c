// History of the faces that were looked at, kept in this browser.

import { $, element } from "./kit/dom.js";
import { tile } from "./kit/pictures.js";
import { store, stored } from "./kit/theme.js";

const NAME = "kaogan studio faces";
const REMEMBERED = 40;
const SIDE = 96; // px of a thumbnail
let past = []; // {query, picture}, the newest first
let go = () => {};

/** Remember what the parameters `query` draw; `image` is an element that shows it. */
export function remember(query, image) {
  if (!new URLSearchParams(query).has("face")) return;
  const canvas = element("canvas", { width: SIDE, height: SIDE });
  canvas.getContext("2d").drawImage(image, 0, 0, SIDE, SIDE);
  const kept = { query, picture: canvas.toDataURL("image/webp", 0.85) };
  past = [kept, ...past.filter((each) => each.query !== query)].slice(0, REMEMBERED);
  store(NAME, JSON.stringify(past));
  show();
}

function show() {
  $("past").hidden = !past.length;
  $("history").replaceChildren(...past.map(({ query, picture }) => {
    const face = new URLSearchParams(query).get("face").split("~")[0];
    return element("li", {}, tile(picture, `face ${face}, seen before`, () => go(query)));
  }));
}

function remembered() {
  try {
    const sound = ({ query, picture }) => new URLSearchParams(query).has("face") && picture.startsWith("data:image/");
    return JSON.parse(stored(NAME) ?? "[]").filter(sound).slice(0, REMEMBERED);
  } catch {
    return [];
  }
}

export function begin(open) {
  go = open;
  past = remembered();
  $("forget").addEventListener("click", () => {
    past = [];
    store(NAME, "[]");
    show();
  });
  show();
}
