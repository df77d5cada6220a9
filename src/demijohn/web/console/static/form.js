/**
 * The form that predicts: one field per input where a row can be typed, else the row as JSON.
 *
 * What a layout looks like:
 *   table   one field per column up to 256, sent as a record
 *   matrix  one number field per feature up to 64 of a flat row, sent as a list
 *   vector  one text area, sent as one value
 *   tensors one field per input up to 32, sent as a record: an image, a value, or a text area for JSON
 *   image   a matrix whose rows can be images: a file chooser, sent as an image
 * Any row that no form can draw is one text area, the row as JSON.
 */

import { ProblemError, addressOf, post } from "./api.js";
import { h, tabList } from "./dom.js";
import { createField, isJson, kindOf } from "./fields.js";
import { createImageField, imageAxes } from "./image_field.js";
import { drawProblem, drawResult } from "./result.js";

const MOST_FEATURES = 64;
const MOST_COLUMNS = 256;
const MOST_TENSORS = 32;

/**
 * @param {Object} model - as GET /models/{name} describes it
 * @returns {{element: Node, method: () => string, onMethod: (listener) => void}}
 */
export function drawForm(model) {
  const method = drawMethods(model.methods ?? []);
  let row = drawRow(seenBy(model, method.value));
  const fields = h("div", {}, row.element);
  const json = drawJson();
  const tabs = [
    { name: "fields", title: "Form", panel: fields },
    { name: "json", title: "JSON", panel: json.element },
  ];
  let mode = "fields";
  let copied = null;
  const { strip, panels } = tabList("body", "How to write the row", tabs, (name) => {
    mode = name;
    // What was typed goes along; what was written as JSON stays until the form changes.
    if (name !== "json" || row.unreadable() || row.body() === copied) return;
    copied = row.body();
    json.area.value = pretty(copied);
  });
  const button = h("button", { type: "submit", class: "primary", id: "predict", "data-testid": "predict" }, "Predict");
  const result = h("section", {
    id: "prediction-result", "data-testid": "prediction-result", class: "result", "aria-live": "polite", "aria-label": "Result",
  }, h("p", { class: "muted" }, "The answer appears here."));
  const choice = h("div", { class: "choice" }, h("label", { for: "method" }, "Method"), method);
  const form = h("form", { id: "predict-form", "data-testid": "predict-form", novalidate: true, autocomplete: "off" },
    h("div", { class: "form-head" }, choice, strip), panels, h("div", { class: "buttons" }, button));

  method.addEventListener("change", () => {
    if (row.signature === seenBy(model, method.value).signature) return;
    row = drawRow(seenBy(model, method.value));
    fields.replaceChildren(row.element);
  });
  const writer = () => (mode === "json" ? json : row);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(model, method.value, writer(), { button, result });
  });
  return {
    element: h("div", { class: "try" }, form, result),
    method: () => method.value,
    onMethod: (listener) => method.addEventListener("change", listener),
    body: () => row.body(),
  };
}

/** A model as one of its methods sees it: a method may have inputs of its own. */
export function seenBy(model, method) {
  const other = model.signature?.others?.[method];
  return other ? { ...model, signature: other, example: other.example } : model;
}

/** The path of one method of a model. */
export function pathOf(model, method) {
  return `/models/${encodeURIComponent(model.name)}/${encodeURIComponent(method)}`;
}

async function submit(model, method, writer, { button, result }) {
  writer.clear();
  const unreadable = writer.unreadable();
  if (unreadable) {
    unreadable();
    return;
  }
  button.disabled = true;
  result.setAttribute("aria-busy", "true");
  try {
    const answer = await post(pathOf(model, method), writer.body());
    result.replaceChildren(...drawResult(answer, method));
  } catch (error) {
    const problem = error instanceof ProblemError
      ? error.problem
      : { title: "No answer", detail: `${addressOf("/")} did not answer: ${error.message}` };
    const elsewhere = (problem.errors ?? []).filter((entry) => !writer.place(entry));
    result.replaceChildren(drawProblem(problem, error.status, elsewhere));
  } finally {
    button.disabled = false;
    result.removeAttribute("aria-busy");
    result.scrollIntoView({ block: "nearest" }); // on a phone it lies below the form
  }
}

function drawMethods(methods) {
  const select = h("select", { id: "method", name: "method", "data-testid": "method" },
    methods.map((name) => h("option", { value: name }, name)));
  if (methods.includes("predict")) select.value = "predict";
  return select;
}

/** The fields of one row. */
function drawRow(model) {
  return { ...drawFields(model), signature: model.signature };
}

/** The fields of one row, by the signature's layout. */
function drawFields(model) {
  const signature = model.signature ?? {};
  const inputs = signature.inputs ?? [];
  const first = firstRow(model.example, inputs);
  if (signature.layout === "table" && inputs.length <= MOST_COLUMNS) return drawTable(inputs, first);
  if (signature.layout === "tensors" && inputs.length <= MOST_TENSORS) return drawTensors(inputs, first);
  if (signature.layout === "matrix" && imageAxes(inputs[0])) {
    const field = createImageField(inputs[0], first, 0);
    return fieldset([field], field.token, { kind: "single" });
  }
  const n_features = inputs.length === 1 ? flatWidth(inputs[0]) : null;
  if (signature.layout === "matrix" && n_features !== null) return drawMatrix(inputs[0], n_features, first);
  if (signature.layout === "vector" && kindOf(inputs[0]?.dtype) === "str") return drawVector(inputs[0], first);
  return drawAnything(inputs, first);
}

function flatWidth(spec) {
  const [, width] = spec.shape ?? [];
  return spec.shape?.length === 2 && width > 0 && width <= MOST_FEATURES ? width : null;
}

function drawTable(inputs, first) {
  const fields = inputs.map((spec, index) => createField(spec, valueOf(first, spec.name, index), index));
  return fieldset(fields, recordOf(fields), { kind: "table", legend: "One row, a field per column" });
}

function recordOf(fields) {
  return () => `{${fields.map((field) => `${JSON.stringify(field.name)}: ${field.token()}`).join(", ")}}`;
}

function drawTensors(inputs, first) {
  const fields = inputs.map((spec, index) => {
    const value = valueOf(first, spec.name, index);
    if (imageAxes(spec)) return createImageField(spec, value, index);
    return spec.shape?.length === 1 ? createField(spec, value, index) : createJsonField(spec, value, index);
  });
  return fieldset(fields, recordOf(fields), { kind: "single", legend: "One row, a field per input" });
}

function createJsonField(spec, initial, index) {
  const area = h("textarea", { rows: 4, spellcheck: "false", class: "code" });
  area.value = initial === undefined ? "" : JSON.stringify(initial);
  const check = () => (isJson(area.value) ? null : "This is not JSON.");
  return areaField(area, spec.name, `${spec.dtype} ${drawShape(spec.shape)}, as JSON`, () => area.value, check, index);
}

function drawMatrix(spec, n_features, first) {
  const fields = Array.from({ length: n_features }, (_, index) => {
    const words = { label: `Feature ${index}`, hint: "" };
    const column = { ...spec, name: String(index), categories: null };
    return createField(column, valueOf(first, column.name, index), index, words);
  });
  const missing = spec.nullable ? ", may be empty" : "";
  const body = () => `[${fields.map((field) => field.token()).join(", ")}]`;
  return fieldset(fields, body, { kind: "matrix", legend: `One row of ${n_features} features, each ${spec.dtype}${missing}` });
}

/** A text is sent as it stands, so it can have lines and quotes. */
function drawVector(spec, first) {
  const area = h("textarea", { rows: 5, spellcheck: "false" });
  area.value = typeof first === "string" ? first : "";
  const body = () => (area.value === "" && spec.nullable ? "null" : JSON.stringify(area.value));
  return oneArea(area, spec.name, spec.dtype, body, () => null);
}

/** Rows no form can draw: wide, of more dimensions, of unknown width. */
function drawAnything(inputs, first) {
  const area = h("textarea", { rows: 8, spellcheck: "false", class: "code" });
  area.value = first === undefined ? "" : JSON.stringify(first);
  const shape = inputs.map((spec) => `${spec.dtype} ${drawShape(spec.shape)}`).join(", ");
  const check = () => (isJson(area.value) ? null : "This is not JSON.");
  const name = inputs.length === 1 ? inputs[0].name : "row";
  return oneArea(area, name, `one row as JSON; ${shape || "signature unknown"}`, () => area.value, check);
}

/** A shape as a reader writes it: (rows, 28, 28). */
export function drawShape(shape) {
  if (!shape) return "";
  return `(${shape.map((size, axis) => (axis === 0 ? "rows" : size === -1 ? "any" : size)).join(", ")})`;
}

function oneArea(area, name, hint, row, check) {
  return fieldset([areaField(area, name, hint, row, check, 0)], row, { kind: "single" });
}

function areaField(area, name, hint, token, unreadable, index) {
  const id = `field-${index}`;
  const error = h("p", { class: "field-error", id: `${id}-error`, "data-testid": "field-error" });
  Object.assign(area, { id, name });
  area.setAttribute("aria-describedby", `${id}-hint ${error.id}`);
  const words = h("p", { class: "hint", id: `${id}-hint` }, hint);
  const label = h("label", { for: id }, name);
  const showError = (text) => {
    error.textContent = text ?? "";
    if (text) area.setAttribute("aria-invalid", "true");
    else area.removeAttribute("aria-invalid");
  };
  const element = h("div", { class: "field" }, label, area, words, error);
  return { name, control: area, element, token, showError, unreadable };
}

/** What the submit needs of a writer: body, unreadable, place, clear. */
function fieldset(fields, row, { kind, legend }) {
  const grid = h("div", { class: `fields ${kind}` }, fields.map((field) => field.element));
  return {
    element: h("fieldset", {}, h("legend", { class: legend ? "muted small" : "offscreen" }, legend ?? "One row"), grid),
    body: () => `{"instances": [${row()}]}`,
    clear: () => fields.forEach((field) => field.showError(null)),
    unreadable: () => {
      const bad = fields.filter((field) => field.unreadable());
      if (bad.length === 0) return null;
      return () => {
        bad.forEach((field) => field.showError(field.unreadable()));
        bad[0].control.focus();
      };
    },
    place: ({ column, expected, received }) => {
      const field = fieldAt(fields, column);
      field?.showError(`Expected ${asText(expected)}; received ${asText(received)}.`);
      return Boolean(field);
    },
  };
}

/** The field that a problem's column is of: a name, an index, or a place in a tensor ("image[3,0]"). */
function fieldAt(fields, column) {
  if ((column ?? null) === null) return fields.length === 1 && fields[0].isImage ? fields[0] : undefined;
  const tensor = String(column).replace(/\[[\d,]*\]$/, "");
  return fields.find(({ name }) => name === String(column) || name === tensor) ?? fields[column];
}

/** The whole body, as it is sent. */
function drawJson() {
  const area = h("textarea", { id: "body-text", name: "body", rows: 12, spellcheck: "false", class: "code" });
  const element = h("div", { class: "field" }, h("label", { for: "body-text" }, "Request body"), area);
  const body = () => area.value;
  // The server reads it and says what is wrong with it: its words name row and column.
  return { element, area, body, clear: () => {}, unreadable: () => null, place: () => false };
}

function pretty(body) {
  return body.length < 80 ? body : body.replace('{"instances": [', '{"instances": [\n  ').replace(/\]\}$/, "\n]}");
}

function asText(value) {
  return typeof value === "string" ? value : JSON.stringify(value) ?? "nothing";
}

/** The first row of an example body, whatever form it has; undefined when there is none. */
function firstRow(example, inputs) {
  if (Array.isArray(example)) return example[0];
  if (Array.isArray(example?.instances)) return example.instances[0];
  if (Array.isArray(example?.inputs)) return example.inputs[0];
  if (!example?.inputs) return undefined;
  return inputs.map(({ name }) => (Object.hasOwn(example.inputs, name) ? example.inputs[name]?.[0] : undefined));
}

function valueOf(row, name, index) {
  if (Array.isArray(row)) return row[index];
  if (row === null || typeof row !== "object") return index === 0 ? row : undefined;
  return Object.hasOwn(row, name) ? row[name] : undefined;
}
