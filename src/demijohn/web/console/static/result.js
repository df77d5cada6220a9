/** An answer as text, and bars where it holds probabilities; a refusal in its own words. */

import { h } from "./dom.js";

const MOST_SHOWN = 100;
const MOST_BARS = 20;
const ROUNDING = 1e-3; // of the sum of probabilities, in float32 or shorter
const LONG_VALUE = 12; // characters; beyond, a value is set smaller so that a float stays on one line

/**
 * @param {{value: Object, text: string, duration_s: number}} answer - of a prediction route
 * @param {string} method - the method that was called
 * @returns {Array<Node>}
 */
export function drawResult({ value, text, duration_s }, method) {
  const predictions = value?.predictions ?? [];
  const shown = predictions.slice(0, MOST_SHOWN);
  const rows = shown.map((prediction, row) =>
    h("div", { class: "prediction", "data-testid": "prediction", "data-row": row },
      predictions.length > 1 ? h("h4", { class: "label" }, `Row ${row}`) : null,
      drawPrediction(prediction, value.classes, method)),
  );
  const hidden = predictions.length - shown.length;
  const model = [value?.model, value?.version && `version ${value.version}`].filter(Boolean).join(", ");
  return [
    h("h3", { class: "label" }, method),
    ...rows,
    hidden > 0 ? h("p", { class: "muted" }, `${hidden} more rows in the response below.`) : "",
    h("p", { class: "muted small" }, `${model} · ${(duration_s * 1000).toFixed(1)} ms round trip`),
    h("details", {}, h("summary", {}, "Response"), h("pre", { id: "response-text", tabindex: "0" }, text)),
  ];
}

function drawPrediction(prediction, classes, method) {
  const isProbability = method === "predict_proba";
  if (Array.isArray(prediction) && classes?.length === prediction.length) {
    return drawClasses(prediction, classes, isProbability || isDistribution(prediction));
  }
  if (isDistribution(prediction)) return drawClasses(prediction, [...prediction.keys()], true);
  if (Array.isArray(prediction)) return drawPairs(prediction.map((value, index) => [index, value]));
  if (prediction !== null && typeof prediction === "object") return drawRecord(prediction, classes, isProbability);
  const text = asText(prediction);
  return h("output", { class: text.length > LONG_VALUE ? "value long" : "value" }, text);
}

/** Several outputs: each with its own classes, in the order of the record. */
function drawRecord(record, classes, isProbability) {
  const entries = Object.entries(record);
  if (!entries.every(([, value], index) => Array.isArray(value) && classes?.[index]?.length === value.length)) {
    if (!entries.some(([, value]) => isDistribution(value))) return drawPairs(entries);
    return h("div", {}, entries.map(([name, value]) => drawOutput(name, drawPrediction(value, undefined, ""))));
  }
  return h("div", {}, entries.map(([name, values], index) =>
    drawOutput(name, drawClasses(values, classes[index], isProbability))));
}

function drawOutput(name, output) {
  return h("div", {}, h("h4", { class: "label" }, name), output);
}

/** Whether these are probabilities: numbers from 0 to 1 that add up to 1, as a network's softmax answers. */
function isDistribution(values) {
  if (!Array.isArray(values) || values.length < 2) return false;
  if (!values.every((value) => typeof value === "number" && value >= 0 && value <= 1)) return false;
  return Math.abs(values.reduce((sum, value) => sum + value, 0) - 1) <= ROUNDING;
}

function drawClasses(values, classes, isProbability) {
  const pairs = classes.map((label, index) => [label, values[index]]);
  if (!isProbability) return drawPairs(pairs);
  const isLong = pairs.length > MOST_BARS;
  const shown = isLong ? pairs.toSorted((a, b) => b[1] - a[1]).slice(0, MOST_BARS) : pairs;
  const best = values.reduce((most, value) => Math.max(most, value), -Infinity);
  const note = isLong ? h("p", { class: "muted small" }, `The ${MOST_BARS} likeliest of ${pairs.length} classes.`) : null;
  return h("div", {}, h("ul", { class: "bars" }, shown.map(([label, value]) => drawBar(label, value, best))), note);
}

function drawBar(label, value, best) {
  const fill = h("span", { class: "fill" });
  // Through the CSSOM: a style attribute would be inline style, which the policy forbids.
  fill.style.setProperty("width", `${Math.max(0, Math.min(1, value ?? 0)) * 100}%`);
  return h("li", { class: value === best ? "bar-row best" : "bar-row", "data-testid": "class", "data-value": value },
    h("span", { class: "class-name" }, asText(label)),
    h("span", { class: "share", title: asText(value) }, value === null ? "null" : `${(value * 100).toFixed(1)}%`),
    h("span", { class: "track", "aria-hidden": "true" }, fill));
}

function drawPairs(pairs) {
  return h("dl", { class: "pairs" }, pairs.flatMap(([name, value]) => [
    h("dt", {}, asText(name)), h("dd", { "data-testid": "output" }, asText(value)),
  ]));
}

/**
 * A refusal: RFC 9457 `problem+json`.
 * @param {Object} problem
 * @param {number|undefined} status
 * @param {Array<Object>} elsewhere - those of its `errors` that no field shows
 */
export function drawProblem(problem, status, elsewhere) {
  const title = [status, problem.title ?? "Error"].filter(Boolean).join(" ");
  const list = elsewhere.map((entry) => h("li", {}, describe(entry)));
  const facts = [problem.code, problem.request_id && `request ${problem.request_id}`].filter(Boolean).join(" · ");
  return h("div", { class: "problem", role: "alert", "data-testid": "problem" },
    h("h3", {}, title),
    problem.detail ? h("p", {}, problem.detail) : null,
    list.length > 0 ? h("ul", {}, list) : null,
    facts ? h("p", { class: "small" }, facts) : null);
}

function describe({ row, column, expected, received }) {
  const place = [row === null || row === undefined ? null : `row ${row}`,
    column === null || column === undefined ? null : `column ${column}`].filter(Boolean).join(", ");
  return `${place ? `${place}: ` : ""}expected ${asText(expected)}; received ${asText(received)}`;
}

/** Strings as they are; everything else as JSON, so that 1 and "1" differ only by their look. */
function asText(value) {
  if (value === undefined) return "nothing";
  return typeof value === "string" ? value : JSON.stringify(value);
}
