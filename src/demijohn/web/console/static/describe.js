/** What a model accepts and returns, and what runs it: tables read from GET /models/{name}. */

import { h } from "./dom.js";
import { drawShape } from "./form.js";

const MOST_CATEGORIES = 12;

/** Inputs, then the outputs of each method. */
export function drawSignature(signature) {
  const inputs = signature?.inputs ?? [];
  const outputs = Object.entries(signature?.outputs ?? {});
  return [
    h("h3", { class: "label" }, signature?.layout ? `Inputs (${signature.layout})` : "Inputs"),
    inputs.length === 0
      ? h("p", { class: "muted" }, "The model does not say what it accepts.")
      : table("inputs", ["Name", "Type", "Shape", "May be missing", "Categories"], inputs.map(inputRow)),
    ...Object.entries(signature?.others ?? {}).flatMap(([method, other]) => [
      h("h3", { class: "label" }, `Inputs of ${method} (${other.layout})`),
      table(`inputs-${method}`, ["Name", "Type", "Shape", "May be missing", "Categories"], other.inputs.map(inputRow)),
    ]),
    h("h3", { class: "label" }, "Outputs"),
    outputs.length === 0
      ? h("p", { class: "muted" }, "The model does not say what it returns.")
      : table("outputs", ["Method", "Name", "Type", "Shape"], outputs.flatMap(outputRows)),
  ];
}

function inputRow(spec) {
  return [spec.name, code(spec.dtype), code(drawShape(spec.shape)), spec.nullable ? "yes" : "no", categoriesOf(spec)];
}

function outputRows([method, specs]) {
  return [specs].flat().map((spec) => [code(method), spec.name, code(spec.dtype), code(drawShape(spec.shape))]);
}

function categoriesOf({ categories }) {
  if (!categories) return "";
  const shown = categories.slice(0, MOST_CATEGORIES).map(String).join(", ");
  const hidden = categories.length - MOST_CATEGORIES;
  return hidden > 0 ? `${shown} and ${hidden} more` : shown;
}

/** Which engine answers each method, for how many rows, and how fast it was measured to be. */
export function drawPlan(plan) {
  const planned = Object.entries(plan?.methods ?? {});
  const rows = planned.flatMap(([method, ranges]) => ranges.map((range, index) => planRow(method, ranges, index)));
  const proving = plan?.state === "proving"
    ? h("p", { class: "muted small" }, "Faster engines are being proved; until then the native one answers.")
    : null;
  const isCompiled = rows.some(([, , engine]) => engine !== "native");
  const engines = isCompiled
    ? table("plan", ["Method", "Rows", "Engine", "Measured"], rows)
    : h("p", { id: "plan", "data-testid": "plan" }, h("strong", {}, "native"), ": the model's own code answers every method.");
  const alone = Object.entries(plan?.kept_alone ?? {}).map(([method, why]) => `${method}: ${why}`);
  return [
    proving,
    engines,
    drawReasons("Engines not used", (plan?.refused ?? []).map(({ engine, method, why }) => `${engine} for ${method}: ${why}`)),
    drawReasons("Methods whose requests are not joined", alone),
  ];
}

function planRow(method, ranges, index) {
  const { up_to_rows, engine, us } = ranges[index];
  const from = index === 0 ? 1 : (ranges[index - 1].up_to_rows ?? 0) + 1;
  const rows = up_to_rows === null || up_to_rows === undefined ? `${from} and more` : `${from} to ${up_to_rows}`;
  const time = us === null || us === undefined ? "" : `${us} µs`;
  return [code(method), ranges.length === 1 ? "any" : rows, engine ?? "native", time];
}

function drawReasons(title, reasons) {
  if (reasons.length === 0) return null;
  return h("details", {}, h("summary", {}, `${title} (${reasons.length})`), h("ul", {}, reasons.map((text) => h("li", {}, text))));
}

/** Framework, versions, aliases. */
export function drawFacts(model) {
  const versions = model.versions ?? [];
  const aliases = Object.entries(model.aliases ?? {}).map(([alias, version]) => `${alias} → ${version}`);
  const facts = [
    ["Framework", [model.framework, model.framework_version].filter(Boolean).join(" ")],
    ["Version", model.version],
    ["All versions", versions.length > 1 ? versions.join(", ") : ""],
    ["Aliases", aliases.join(", ")],
    ...Object.entries(model.metadata ?? {}),
  ];
  return h("dl", { class: "pairs", "data-testid": "facts" },
    facts.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function code(text) {
  return h("code", {}, text ?? "");
}

function table(id, heads, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": id },
    h("table", { id, "data-testid": id },
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell)))))));
}
