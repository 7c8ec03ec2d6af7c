// Pictures: uploaded, and prepared as a set to train on.

import { $, element } from "./kit/dom.js";
import { dropArea, upload } from "./drop.js";
import { address, get, longWork, say, setOptions } from "./parts.js";

const KINDS = /\.(png|jpe?g|webp|bmp|gif|avif|zip)$/i;
let allowed = false;
let taken = []; // names of sets
let busy = false;

const number = (value) => Number(value).toLocaleString("en");
const setName = () => $("set-name").value.trim();

async function send(files) {
  const pictures = files.filter(({ name }) => KINDS.test(name));
  if (!allowed || busy) return;
  if (!pictures.length) {
    say("there are no pictures and no zips among these");
    return;
  }
  busy = true;
  say();
  const bar = Object.assign($("pictures-progress"), { hidden: false, value: 0 });
  let total = 0;
  try {
    for (const [at, file] of pictures.entries()) {
      ({ files: total } = await upload("api/pictures", { set: setName(), file: file.name }, file));
      bar.value = (at + 1) / pictures.length;
      $("pictures-state").textContent = `${number(at + 1)} of ${number(pictures.length)} uploaded`;
    }
    const odd = files.length - pictures.length;
    $("pictures-state").textContent = `${number(total)} ${total === 1 ? "file" : "files"} in ${setName()}${odd ? `; ${number(odd)} others were left out` : ""}. Drop more, or prepare them.`;
    $("prepare").disabled = false;
  } catch (error) {
    say(error.message);
  } finally {
    busy = false;
    bar.hidden = true;
  }
}

async function prepare() {
  const name = setName();
  const params = { job: "preparation", set: name, size: $("set-size").value, crop: $("set-crop").value };
  const job = await longWork(params, $("prepare-job"), $("prepare"));
  if (!job) return;
  const { kept, files, dropped, notes } = job.result;
  const rows = Object.entries(dropped).flatMap(([step, count]) => [element("dt", {}, number(count)), element("dd", {}, step)]);
  const train = element("a", { className: "button primary", href: address("", { page: "train", data: `sets/${name}` }) }, "Train on them");
  const report = element("a", { className: "button", href: `${job.path}/report.html`, target: "_blank", rel: "noopener" }, "Open the report");
  $("prepared").replaceChildren(
    element("h2", {}, name),
    element("p", {}, `${number(kept)} faces from ${number(files)} pictures.`),
    ...(rows.length ? [element("dl", { className: "numbers" }, ...rows)] : []),
    element("ul", { className: "soft" }, ...notes.map((note) => element("li", {}, note))),
    element("div", { className: "row wrap" }, train, report),
  );
  $("prepared").hidden = false;
  setOptions(await get("api/overview"));
}

export function begin(overview) {
  allowed = overview.training;
  taken = overview.sets.map((name) => name.split("/").at(-1));
  let name = "faces";
  for (let count = 2; taken.includes(name); count++) name = `faces-${count}`;
  $("set-name").value = name;
  $("pictures-forbidden").hidden = allowed;
  for (const id of ["pictures-choose", "set-name"]) $(id).disabled = !allowed;
  $("set-name").addEventListener("input", () => ($("prepare").disabled = true));
  $("prepare").addEventListener("click", prepare);
  dropArea($("pictures-drop"), $("pictures-choose"), $("pictures-files"), send);
}
