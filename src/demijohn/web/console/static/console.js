/** The console: lists the models, and shows the one that the address names after its "#". */

import { ProblemError, get } from "./api.js";
import { drawFacts, drawPlan, drawSignature } from "./describe.js";
import { h } from "./dom.js";
import { drawForm, pathOf, seenBy } from "./form.js";
import { drawProblem } from "./result.js";
import { drawSnippets } from "./snippets.js";

const MANY_MODELS = 8;

const main = document.getElementById("main");
const list = document.getElementById("model-list");
const filter = document.getElementById("model-filter");

let models = [];
let wanted = null; // the model last asked for: a slower, older answer is dropped

async function start() {
  await showing(async () => {
    models = (await get("/models")).models ?? [];
    drawList();
    if (models.length === 0) {
      main.replaceChildren(h("h1", {}, "No models yet"), h("p", { class: "muted" }, "This server has no model to show."));
      return;
    }
    await showModel(nameInAddress() ?? models[0].name);
  });
}

/** Run what fills the page, and say so on the page when the server refuses. */
async function showing(fill) {
  main.setAttribute("aria-busy", "true");
  try {
    await fill();
  } catch (error) {
    const problem = error instanceof ProblemError ? error.problem : { title: "No answer", detail: error.message };
    const again = h("button", { type: "button", class: "primary" }, "Try again");
    again.addEventListener("click", start);
    main.replaceChildren(drawProblem({ detail: error.message, ...problem }, error.status, []), again);
    if (!(error instanceof ProblemError) && !(error instanceof TypeError)) throw error;
  } finally {
    main.removeAttribute("aria-busy");
  }
}

function nameInAddress() {
  const match = /^#\/(.+)$/.exec(location.hash);
  return match && decodeURIComponent(match[1]);
}

function drawList() {
  filter.hidden = models.length <= MANY_MODELS;
  const needle = filter.value.trim().toLowerCase();
  const shown = models.filter(({ name }) => name.toLowerCase().includes(needle));
  list.replaceChildren(...shown.map(drawEntry));
  markCurrent();
}

function drawEntry({ name, version, state, methods }) {
  const link = h("a", { href: `#/${encodeURIComponent(name)}`, "data-model": name, title: (methods ?? []).join(", ") },
    h("span", { class: "model-name" }, name),
    h("span", { class: "model-facts" }, `version ${version ?? "?"}`, h("span", { class: `state ${tone(state)}` }, state ?? "")));
  return h("li", { "data-testid": "model" }, link);
}

/** Ready is quiet; what fails is loud; everything between is on its way. */
function tone(state) {
  if (["ready", "serving", "available"].includes(state)) return "good";
  return ["failed", "broken", "unavailable"].includes(state) ? "bad" : "waiting";
}

function markCurrent() {
  for (const link of list.querySelectorAll("a")) {
    if (link.dataset.model === wanted) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function showModel(name) {
  wanted = name;
  markCurrent();
  const model = await get(`/models/${encodeURIComponent(name)}`);
  if (name !== wanted) return;
  document.title = `${model.name} · Demijohn`;
  main.replaceChildren(...drawModel(model));
}

function drawModel(model) {
  const form = drawForm(model);
  const body = () => {
    const { example } = seenBy(model, form.method());
    return example && example.instances?.length !== 0 ? example : JSON.parse(form.body());
  };
  const snippets = drawSnippets(() => pathOf(model, form.method()), body);
  form.onMethod(snippets.refresh);
  const warnings = (model.warnings ?? []).map((text) => h("p", { class: "warning", "data-testid": "warning" }, String(text)));
  return [
    h("div", { class: "title" }, h("h1", { id: "model-name" }, model.name),
      h("span", { class: `state ${tone(model.state)}` }, model.state ?? "")),
    ...warnings,
    card("try-it", "Try it", form.element),
    card("use-it", "Use it", snippets.element),
    card("signature", "Signature", ...drawSignature(model.signature)),
    card("engine", "Engine", ...drawPlan(model.plan)),
    card("about", "About", drawFacts(model)),
  ];
}

function card(id, title, ...children) {
  return h("section", { class: "card", id, "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title` }, title), ...children);
}

filter.addEventListener("input", drawList);
window.addEventListener("hashchange", () => {
  const name = nameInAddress();
  if (name === null || name === wanted) return;
  showing(() => showModel(name)).then(() => {
    scrollTo(0, 0);
    main.focus({ preventScroll: true }); // so that the Tab key goes on from the model
  });
});

start();
