// Calls to the server, messages, lists and long work: what all pages of the studio share.

import { $, element } from "./kit/dom.js";

export function options(select, values, chosen, empty) {
  const made = values.map((value) => (typeof value === "string" ? element("option", { value }, value) : value));
  if (!made.length && empty) made.push(element("option", { value: "" }, empty));
  select.replaceChildren(...made);
  select.disabled = ![...select.options].some((option) => option.value);
  if ([...select.options].some((option) => option.value === chosen)) select.value = chosen;
}

/** Fill a list of models: those of the studio's folders, then those that come with kaogan. */
export function modelOptions(select, { models, shipped }, chosen) {
  const own = models.filter((name) => !shipped.includes(name));
  const group = element("optgroup", { label: "comes with kaogan" }, ...shipped.map((value) => element("option", { value }, value)));
  options(select, shipped.length ? [...own, group] : own, chosen, "none in this folder");
}

/** Fill the lists of picture sets; what is chosen in one stays, unless `chosen` is given. */
export function setOptions({ sets }, chosen = null) {
  for (const select of [$("evaluate-data"), $("train-data")]) {
    const none = select.required ? [element("option", { value: "" }, "choose pictures")] : [];
    options(select, [...none, element("option", { value: "(avatars)" }, "drawn avatars (built in)"), ...sets], chosen ?? select.value);
  }
}

let teller = null; // whose message is shown

/** Show a message, or none. `by` takes away only a message of its own. */
export function say(text = "", by = null) {
  if (!text && by && by !== teller) return;
  teller = text ? by : null;
  $("message").textContent = text;
  $("message").hidden = !text;
  for (const field of document.querySelectorAll("input[data-param]")) {
    const named = text.includes(`the ${field.dataset.param} `);
    if (named) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }
}

export const address = (path, params) => `${path}?${new URLSearchParams(params)}`;

export async function answer(response) {
  const found = await response.json().catch(() => ({ error: "the studio gave no answer" }));
  if (!response.ok) throw new Error(found.error || `the studio answered ${response.status}`);
  return found;
}

async function call(path, settings) {
  let response;
  try {
    response = await fetch(path, settings);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the studio does not answer; is it still running in the terminal?");
  }
  return answer(response);
}

export const get = (path, params = {}, signal = undefined) => call(address(path, params), { signal });

export const post = (path, params) =>
  call(path, { method: "POST", headers: { "X-Kaogan": "studio", "Content-Type": "application/json" }, body: JSON.stringify(params) });

/** A function that shows what `load` gives for the newest call only; an older one is given up, by its `stop` as well. */
export function newest(load, show, frame) {
  let running = null;
  const call = async (...params) => {
    running?.abort();
    const mine = (running = new AbortController());
    frame?.classList.add("waiting");
    frame?.setAttribute("aria-busy", "true");
    try {
      const found = await load(mine.signal, ...params);
      if (running === mine) {
        show(found, ...params);
        say("", load);
      }
    } catch (error) {
      if (error.name !== "AbortError" && running === mine) say(error.message, load);
    } finally {
      if (running === mine) {
        frame?.classList.remove("waiting");
        frame?.setAttribute("aria-busy", "false");
        running = null;
      }
    }
  };
  call.stop = () => running?.abort();
  return call;
}

export function later(work, milliseconds) {
  let waiting = 0;
  return () => {
    clearTimeout(waiting);
    waiting = setTimeout(work, milliseconds);
  };
}

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/**
 * Runs long work on the server, with its progress and a button to cancel it in `place`. The job, or null.
 * `work` are the parameters of a job, or a function that starts one.
 */
export async function longWork(work, place, button) {
  button.disabled = true;
  say();
  try {
    let job = await (typeof work === "function" ? work() : post("api/jobs", work));
    const path = `api/jobs/${job.id}`;
    const bar = element("progress", { "aria-label": "Progress" });
    const what = element("span");
    const cancel = element("button", { type: "button" }, "Cancel");
    cancel.addEventListener("click", () => fetch(path, { method: "DELETE", headers: { "X-Kaogan": "studio" } }));
    place.replaceChildren(bar, what, cancel);
    while (["waiting", "running"].includes(job.state)) {
      if (job.total) [bar.max, bar.value] = [job.total, job.done];
      else bar.removeAttribute("value");
      what.textContent = job.state === "waiting" ? "waiting" : job.total ? `${job.what} ${job.done} of ${job.total}` : job.what;
      await pause(300);
      job = await get(path);
    }
    place.replaceChildren(job.state === "cancelled" ? "Cancelled." : "");
    if (job.state === "failed") throw new Error(job.error);
    return job.state === "done" ? { ...job, path } : null;
  } catch (error) {
    place.replaceChildren();
    say(error.message);
    return null;
  } finally {
    button.disabled = false;
  }
}
