// The model as a page for others.

import { $, element } from "./kit/dom.js";
import { longWork } from "./parts.js";
import { param } from "./state.js";

export function begin() {
  $("share").addEventListener("click", async () => {
    $("share-shown").replaceChildren();
    const job = await longWork({ job: "page", model: param("model") }, $("share-job"), $("share"));
    if (job) $("share-shown").replaceChildren(element("a", { href: `${job.path}/${job.files[0]}`, download: "" }, `Download ${job.files[0]}`));
  });
}
