// Films: a walk past the faces of the seed, or the morph.

import { $, element, reducedMotion } from "./kit/dom.js";
import { longWork } from "./parts.js";
import { beginning, change, given, param } from "./state.js";

const DEFAULTS = { faces: "6", steps: "24", fps: "24", kind: "mp4", source: "walk" };
const FIELDS = Object.keys(DEFAULTS);

export function show() {
  for (const name of FIELDS) $(`film-${name}`).value = param(`film.${name}`, DEFAULTS[name]);
  $("film-loop").checked = param("film.loop", "yes") === "yes";
  describe();
}

function describe() {
  const morph = $("film-source").value === "morph";
  for (const name of ["film-faces", "film-loop"]) $(name).disabled = morph;
  const [faces, steps, fps] = ["faces", "steps", "fps"].map((name) => Number($(`film-${name}`).value));
  const frames = morph ? 2 * steps : $("film-loop").checked ? faces * steps : (faces - 1) * steps + 1;
  const seconds = frames / fps;
  $("film-what").textContent = morph && !(param("from") && param("to"))
    ? "Choose the two faces of the morph first."
    : `${morph ? "The morph, there and back" : `Past the first faces of seed ${param("seed", "0")}`}` +
      (Number.isFinite(seconds) && seconds > 0 ? `: ${frames} frames, ${seconds.toFixed(1)}\u00a0s.` : ".");
}

async function make(event) {
  event.preventDefault();
  const morph = $("film-source").value === "morph";
  const params = given({
    job: "film", model: param("model"), seed: param("seed"), truncation: param("truncation"), keep: param("keep"), ...beginning("a."),
    ...(morph ? { from: param("from"), to: param("to") } : { faces: $("film-faces").value }),
    steps: $("film-steps").value, fps: $("film-fps").value, kind: $("film-kind").value, loop: $("film-loop").checked ? "yes" : "no",
  });
  if (morph && !(params.from && params.to)) return;
  const job = await longWork(params, $("film-job"), event.submitter ?? $("film-panel").querySelector("button.main"));
  if (!job) return;
  const path = `${job.path}/${job.files[0]}`;
  const shown = params.kind === "mp4"
    ? element("video", { src: path, controls: true, loop: true, muted: true, autoplay: !reducedMotion(), playsInline: true })
    : element("img", { src: path, alt: "The film" });
  shown.setAttribute("aria-label", "The film");
  $("film-shown").replaceChildren(shown, element("a", { href: `${path}?save=1`, download: "" }, "Download the film"));
}

export function begin() {
  for (const name of FIELDS) {
    if (["faces", "steps", "fps"].includes(name)) $(`film-${name}`).dataset.param = name;
    $(`film-${name}`).addEventListener("input", () => {
      const value = $(`film-${name}`).value.trim();
      change({ [`film.${name}`]: value === DEFAULTS[name] ? null : value });
      describe();
    });
  }
  $("film-loop").addEventListener("input", () => {
    change({ "film.loop": $("film-loop").checked ? null : "no" });
    describe();
  });
  $("film-panel").addEventListener("submit", make);
}
