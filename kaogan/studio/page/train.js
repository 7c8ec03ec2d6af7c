// Trainings: watched while they run, started, stopped and resumed.

import { $, element } from "./kit/dom.js";
import { address, get, modelOptions, options, post, say, setOptions } from "./parts.js";
import { change, param } from "./state.js";
import { curves } from "./curves.js";

const EVERY = 2000; // ms
const FIELDS = ["images", "image_size", "batch_size", "seed"];
let recipes = [];
let runs = [];
let allowed = false;
let timer = 0;
let grids = [];
let following = true; // the slider of the grids is at the newest one
let drawnOf = "";
let turn = 0; // which answer is still wanted

const number = (value) => Number(value).toLocaleString("en");

async function look() {
  clearTimeout(timer);
  const mine = ++turn;
  if (!param("run")) {
    showNothing();
    return;
  }
  try {
    const state = await get("api/run", { run: param("run") });
    if (mine === turn) show(state);
  } catch (error) {
    if (mine === turn) say(error.message);
  }
  if (mine === turn && !$("train").hidden) timer = setTimeout(look, EVERY);
}

function showNothing() {
  $("run-state").textContent = "No run yet: start one.";
  for (const id of ["stop", "resume"]) $(id).disabled = true;
  for (const id of ["to-make", "run-warning"]) $(id).hidden = true;
}

function show(state) {
  const message = state.messages.filter(Boolean).at(-1) ?? "";
  const failed = !state.running && state.code !== null && ![0, 130, -15].includes(state.code);
  const what = state.stopping ? "stopping, saving" : state.running ? (state.clock ? "training" : "getting ready")
    : state.finished ? "finished" : failed ? "failed" : state.live ? "training, started elsewhere" : "stopped";
  const speed = state.curves.images_per_second?.at(-1)?.[1];
  const remaining = state.running && speed && state.total > state.clock ? `, ${time((state.total - state.clock) / speed)} left` : "";
  $("run-state").textContent = `${what}: ${number(state.clock)}${state.total > state.clock ? ` of ${number(state.total)}` : ""} images${remaining}` +
    (failed || (state.running && !state.clock) ? `. ${message}` : "");
  if (state.running && !state.clock) $("run-progress").removeAttribute("value"); // it moves
  else $("run-progress").value = state.total ? state.clock / state.total : 0;
  $("run-warning").hidden = !state.warning;
  if ($("run-warning").textContent !== state.warning) { // else it would be read aloud again and again
    const parts = state.warning.split(/(--\S+)/);
    $("run-warning").replaceChildren(...parts.map((part) => (part.startsWith("--") ? element("code", {}, part) : part)));
  }
  $("stop").disabled = !state.running || state.stopping || !state.allowed;
  $("resume-images").placeholder = state.total || "";
  $("resume").disabled = state.running || state.live || (state.finished && !$("resume-images").value) || !state.allowed;
  $("to-make").hidden = !$("model").querySelector(`option[value="${CSS.escape(param("run"))}"]`);
  $("to-make").href = address("", { page: "make", model: param("run") });
  $("log").textContent = [...state.log, ...state.messages].join("\n");
  const drawn = JSON.stringify([param("run"), state.clock, Object.keys(state.curves).length]);
  if (drawn !== drawnOf) {
    drawnOf = drawn;
    const [first, others] = curves(state.curves);
    $("curves").replaceChildren(...(first.length ? first : [element("p", { className: "soft" }, "Nothing yet.")]));
    $("other-curves").replaceChildren(...others);
    $("more-curves").hidden = !others.length;
  }
  showGrids(state.grids);
  if (!state.running && state.clock && $("to-make").hidden && !refreshed.has(param("run"))) refresh();
}
const refreshed = new Set(); // runs whose model has been looked for

function time(seconds) {
  return seconds < 90 ? `${Math.round(seconds)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function showGrids(found) {
  grids = found;
  const some = grids.length > 0;
  for (const id of ["run-grid"]) $(id).hidden = !some;
  for (const id of ["grid-label", "grid-number"]) $(id).hidden = grids.length < 2;
  $("no-grids").hidden = some;
  $("grid-number").max = Math.max(0, grids.length - 1);
  if (following) $("grid-number").value = grids.length - 1;
  if (some) showGrid();
  else $("grid-clock").value = "";
}

function showGrid() {
  const clock = grids[Number($("grid-number").value)];
  $("grid-clock").value = `at ${number(clock)} images`;
  const source = address("api/run/grid", { run: param("run"), clock });
  if ($("run-grid").getAttribute("src") !== source) $("run-grid").src = source;
  $("run-grid").alt = `Samples at ${number(clock)} images`;
}

/** The lists of runs and models, as of now. */
async function refresh() {
  refreshed.add(param("run"));
  const overview = await get("api/overview");
  runs = overview.runs;
  for (const id of ["model", "evaluate-model"]) modelOptions($(id), overview, $(id).value || param("model"));
  setOptions(overview);
  if (!param("model") && overview.models.length) change({ model: overview.models[0] });
  listRuns();
}

function listRuns() {
  const known = param("run") && !runs.includes(param("run")) ? [param("run"), ...runs] : runs;
  options($("run"), known, param("run"), "none yet");
}

function showRecipe() {
  const recipe = recipes.find((each) => each.name === $("recipe").value);
  if (!recipe) return;
  $("recipe-summary").textContent = `${recipe.summary[0].toUpperCase()}${recipe.summary.slice(1)}.`;
  for (const name of FIELDS) $(`train-${name}`).placeholder = recipe[name] ?? "0";
  let name = recipe.name;
  for (let count = 2; runs.some((run) => run.split("/").at(-1) === name); count++) name = `${recipe.name}-${count}`;
  $("train-name").value = name;
}

/** The recipe for the built-in avatars, or for pictures of one's own. */
function suggestRecipe() {
  $("recipe").value = $("train-data").value === "(avatars)" ? "demo" : "kao";
  showRecipe();
}

async function order(path, params, button) {
  button.disabled = true;
  say();
  try {
    const { run } = await post(path, params);
    following = true;
    refreshed.delete(run);
    change({ run }, run !== param("run"));
    listRuns();
  } catch (error) {
    say(error.message);
  } finally {
    button.disabled = !allowed;
  }
  await look();
}

export function begin(overview) {
  ({ recipes, runs, training: allowed } = overview);
  options($("recipe"), recipes.map((recipe) => recipe.name));
  suggestRecipe();
  for (const name of FIELDS) $(`train-${name}`).dataset.param = name.replace("_", " ");
  $("start").disabled = !allowed;
  $("train-forbidden").hidden = allowed;
  $("recipe").addEventListener("change", showRecipe);
  $("train-data").addEventListener("change", () => ["demo", "kao"].includes($("recipe").value) && suggestRecipe());
  $("resume-images").dataset.param = "images";
  $("resume-images").addEventListener("input", look);
  $("run").addEventListener("change", () => {
    $("resume-images").value = "";
    change({ run: $("run").value }, true);
    following = true;
    look();
  });
  $("stop").addEventListener("click", () => order("api/run/stop", { run: param("run") }, $("stop")));
  $("resume").addEventListener("click", () => order("api/run/resume", { run: param("run"), images: $("resume-images").value }, $("resume")));
  $("start-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const params = { recipe: $("recipe").value, data: $("train-data").value, name: $("train-name").value };
    for (const name of FIELDS) params[name] = $(`train-${name}`).value;
    order("api/run/start", params, $("start"));
  });
  $("grid-number").addEventListener("input", () => {
    following = Number($("grid-number").value) === grids.length - 1;
    showGrid();
  });
}

export async function enter() {
  await refresh().catch((error) => say(error.message));
  if (!param("run") && runs.length) change({ run: runs[0] });
  listRuns();
  look();
}

export function leave() {
  clearTimeout(timer);
  turn += 1;
}
