// The frame of all pages: which one is shown, and what there is to choose from.

import { $ } from "./kit/dom.js";
import { get, modelOptions, say, setOptions } from "./parts.js";
import { change, onReturn, param } from "./state.js";
import * as evaluate from "./evaluate.js";
import { themeButton } from "./kit/theme.js";
import * as make from "./make.js";
import * as pictures from "./pictures.js";
import * as train from "./train.js";

const pages = { make, pictures, train, evaluate };

function show() {
  const page = param("page") in pages ? param("page") : "make";
  for (const name of Object.keys(pages)) $(name).hidden = name !== page;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${page[0].toUpperCase()}${page.slice(1)} · kaogan studio`;
  for (const [name, part] of Object.entries(pages)) if (name !== page) part.leave?.();
  pages[page].enter?.();
}

async function begin() {
  try {
    const overview = await get("api/overview");
    $("version").textContent = overview.version;
    if (!overview.models.includes(param("model"))) change({ model: overview.opening });
    for (const id of ["model", "evaluate-model"]) modelOptions($(id), overview, param("model"));
    setOptions(overview, param("data"));
    for (const part of Object.values(pages)) part.begin(overview);
    show();
  } catch (error) {
    say(error.message);
  }
}

for (const link of document.querySelectorAll("nav a")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    change({ page: link.dataset.page }, true);
    say();
    show();
  });
}
themeButton($("theme"), "kaogan studio ");
onReturn(show);
begin();
