// Areas that files and folders are dropped on, and their upload.

import { address, answer } from "./parts.js";

/** Calls `take(files)` for what is dropped on `area` or chosen with `button` and its hidden `input`. */
export function dropArea(area, button, input, take) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = "";
  });
  for (const kind of ["dragenter", "dragover"]) {
    area.addEventListener(kind, (event) => {
      event.preventDefault();
      area.classList.add("over");
    });
  }
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", async (event) => {
    event.preventDefault();
    area.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = entries.length ? (await Promise.all(entries.map(filesOf))).flat() : [...event.dataTransfer.files];
    take(files);
  });
}

/** All files of an entry, which may be a folder. */
async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a reader gives a hundred at a time
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return (await Promise.all(found.map(filesOf))).flat();
    found.push(...some);
  }
}

/** Send a file as the body of a request. */
export async function upload(path, params, file) {
  const settings = { method: "POST", headers: { "X-Kaogan": "studio", "Content-Type": "application/octet-stream" }, body: file };
  return answer(await fetch(address(path, params), settings));
}
