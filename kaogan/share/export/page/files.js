// Files of the page: beside it on a server or, where the page is a single file, data: addresses of what is inside of it.

import { unpacked } from "./latents.js";

export const inside = Object.fromEntries(
  [...document.querySelectorAll("script[data-file]")].map(({ dataset, textContent }) =>
    [dataset.file, `data:${dataset.kind};base64,${textContent}`]),
);

export const single = Object.keys(inside).length > 0;

export const address = (file) => inside[file] ?? new URL(file, location.href).href;

/** The content of model.json. Rejects where its checksum does not match. */
export async function readModel() {
  const model = await readChecked();
  return model.filter ? { ...model, filter: unpacked(model.filter) } : model;
}

async function readChecked() {
  const text = await (await fetch(address("model.json"))).text();
  if (!window.crypto?.subtle) return JSON.parse(text); // browsers have digests on https and on this machine only
  const bare = new TextEncoder().encode(text.replace(/"[0-9a-f]{64}"\}$/, '""}'));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bare));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (!text.endsWith(`"checksum": "${found}"}`)) {
    throw new Error("model.json is damaged: its checksum does not match; load the page again, or export it again");
  }
  return JSON.parse(text);
}
