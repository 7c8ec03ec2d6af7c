// Evaluation of a model against real pictures.

import { $, element } from "./kit/dom.js";
import { get, longWork, say } from "./parts.js";
import { change, param } from "./state.js";

const DEFAULT_COUNT = "500";

let shipped = []; // models that come with kaogan

function table(job) {
  const { subject, count, against, verdict, rows, notes, seconds } = job.result;
  const head = ["", "model, 95\u00a0% interval", "real against real"].map((text) => element("th", { scope: "col" }, text));
  const body = rows.map((row) =>
    element(
      "tr", {}, element("th", { scope: "row", title: `${row.better} is better` }, `${row.name}\u00a0${row.better === "lower" ? "↓" : "↑"}`),
      element("td", {}, row.value, element("small", {}, row.interval)), element("td", {}, row.real),
    ),
  );
  const message = `${count} pictures of ${subject} against ${against}, ${seconds} s. ↓ lower, ↑ higher is better.`;
  const links = job.files.map((name) =>
    name.endsWith(".md")
      ? element("a", { href: `${job.path}/${name}`, download: "" }, "Download as Markdown")
      : element("a", { href: `${job.path}/${name}`, target: "_blank", rel: "noopener" }, "Open the whole page"),
  );
  return [
    element("div", { className: "bar" }, element("h2", {}, subject), element("span", { className: "saves" }, ...links)),
    element("p", {}, verdict),
    element("p", { className: "soft", id: "evaluate-summary" }, message),
    element("div", { className: "scroll" }, element("table", { "aria-describedby": "evaluate-summary" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body))),
    element("ul", { className: "soft" }, ...notes.map((note) => element("li", {}, note))),
  ];
}

async function measure(event) {
  event.preventDefault();
  const params = {
    job: "evaluation", model: $("evaluate-model").value, data: $("evaluate-data").value, count: $("evaluate-count").value, seed: "0",
  };
  const job = await longWork(params, $("evaluate-job"), $("evaluate-form").querySelector("button.main"));
  if (job) $("evaluate-shown").replaceChildren(...table(job));
}

export function begin(overview) {
  shipped = overview.shipped;
  $("evaluate-count").dataset.param = "count";
  $("evaluate-form").addEventListener("submit", measure);
  $("evaluate-model").addEventListener("change", () => {
    change({ model: $("evaluate-model").value, face: null, from: null, to: null, data: null });
    enter();
  });
  $("evaluate-data").addEventListener("change", () => {
    change({ data: $("evaluate-data").value });
    $("evaluate-set").hidden = Boolean($("evaluate-data").value);
  });
  $("evaluate-count").addEventListener("input", () => change({ pictures: $("evaluate-count").value === DEFAULT_COUNT ? null : $("evaluate-count").value }));
}

export function enter() {
  if (param("model")) $("evaluate-model").value = param("model");
  $("evaluate-data").value = param("data");
  $("evaluate-set").hidden = true;
  if (!param("data") && param("model")) ownSet(param("model"));
  $("evaluate-count").value = param("pictures", DEFAULT_COUNT);
}

/** Choose the set that the model was trained on; where it is not here, say so, and what to do. */
async function ownSet(model) {
  try {
    const { set, trained_on: name } = await get("api/model", { model });
    if (param("data") || param("model") !== model) return;
    $("evaluate-data").value = set;
    if (set) return;
    const where = shipped.includes(model) ? "do not come with it" : "are not in the studio's folders";
    $("evaluate-set").replaceChildren(
      `The pictures that ${model} was trained on${name ? ` (${name})` : ""} ${where}. Choose others of the same kind, or bring in a folder on the page `,
      element("a", { href: "?page=pictures" }, "Pictures"), ".",
    );
    $("evaluate-set").hidden = false;
  } catch (error) {
    say(error.message);
  }
}
