// Faces that were made before, as tiles, the newest first; they survive a reload.

import { element } from "./kit/dom.js";
import { tile } from "./kit/pictures.js";
import { store, stored } from "./kit/theme.js";

const REMEMBERED = 40;

/** `list` is the element of the tiles, `key` that of the storage, `faces` of facesOf; `draw` (face -> picture). */
export function faceHistory(list, key, { describe, sound, toAddress }, draw, show) {
  let past = remembered();

  function remembered() {
    try {
      return JSON.parse(stored(key) ?? "[]").map(sound).filter(Boolean).slice(0, REMEMBERED);
    } catch {
      return [];
    }
  }

  function keep(faces) {
    past = faces.slice(0, REMEMBERED);
    store(key, JSON.stringify(past));
  }

  function itemOf(one, drawn) {
    const item = element("li", {}, tile(drawn, describe(one), () => show(one)));
    item.dataset.address = toAddress(one);
    return item;
  }

  // By their addresses, not by their places: while a former visit is drawn anew, others come and go.
  const shown = (address) => [...list.children].find((item) => item.dataset.address === address);

  function add(one, drawn) {
    const address = toAddress(one);
    shown(address)?.remove();
    list.prepend(itemOf(one, drawn));
    keep([one, ...past.filter((other) => toAddress(other) !== address)]);
    while (list.children.length > REMEMBERED) list.lastChild.remove();
  }

  /** Draw the faces of former visits behind those of this one; resolves to their pairs of tile and face. */
  async function restore() {
    const tiles = [];
    for (const one of past) {
      const address = toAddress(one);
      const wanted = () => !shown(address) && past.some((other) => toAddress(other) === address);
      if (!wanted()) continue;
      const drawn = await draw(one);
      if (!wanted()) continue;
      const item = itemOf(one, drawn);
      list.append(item);
      tiles.push([item.firstChild, one]);
    }
    return tiles;
  }

  function forget() {
    keep([]);
    list.replaceChildren();
  }

  return { add, forget, restore };
}
