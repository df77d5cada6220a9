/**
 * One field per input: draws it from its TensorSpec and turns what was typed into a JSON token.
 *
 * Rules:
 * 1. A token is text, never a JavaScript number: 9007199254740993 must arrive as typed.
 * 2. An empty field is `null`. Whether that is allowed is the server's to say, in one place.
 */

import { h } from "./dom.js";

const MOST_OPTIONS = 100; // beyond this a list is searched by typing, not by scrolling
const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const MISSING = "null";

/** "int", "float", "bool", "str", "datetime" or "any". */
export function kindOf(dtype) {
  const match = /^(u?int|float|bool|str|datetime)/.exec(dtype ?? "");
  if (!match) return "any";
  return match[1] === "uint" ? "int" : match[1];
}

/**
 * @param {{name, dtype, nullable, categories}} spec
 * @param {*} initial - the example's value; undefined when there is none
 * @param {number} index - position in the row; makes the element's id
 * @param {{label?: string, hint?: string}} words - what the label says instead of the name
 */
export function createField(spec, initial, index, words = {}) {
  const id = `field-${index}`;
  const { control, extra, token } = drawControl(spec, initial, id);
  control.id = id;
  control.name = spec.name;
  control.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
  const error = h("p", { class: "field-error", id: `${id}-error`, "data-testid": "field-error" });
  const hint = h("p", { class: "hint", id: `${id}-hint` }, words.hint ?? hintOf(spec));
  const label = h("label", { for: id }, words.label ?? spec.name);

  const showError = (text) => {
    error.textContent = text ?? "";
    if (text) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  };
  control.addEventListener("input", () => showError(null));
  return {
    name: spec.name,
    control,
    element: h("div", { class: "field" }, label, control, extra, hint, error),
    token,
    showError,
    /** What the browser itself cannot read, such as "1e" in a number field; else null. */
    unreadable: () => (control.validity.badInput ? "This is not a number." : null),
  };
}

function hintOf(spec) {
  return spec.nullable ? `${spec.dtype}, may be empty` : spec.dtype;
}

function drawControl(spec, initial, id) {
  const kind = kindOf(spec.dtype);
  const categories = spec.categories ?? (kind === "bool" ? [true, false] : null);
  if (categories && categories.length <= MOST_OPTIONS) return drawSelect(spec, categories, initial);
  const control = kind === "int" || kind === "float" ? drawNumber(kind) : drawText(kind);
  control.value = asTyped(initial, kind);
  let extra = null;
  if (categories) {
    extra = h("datalist", { id: `${id}-list` }, categories.map((value) => h("option", { value: String(value) })));
    control.setAttribute("list", extra.id);
  }
  if (spec.nullable) control.placeholder = "missing";
  return { control, extra, token: () => tokenOf(control.value, kind, spec.nullable) };
}

function drawSelect(spec, categories, initial) {
  const control = h("select");
  const known = categories.filter((value) => value !== null);
  const isKnown = known.some((value) => value === initial);
  if (spec.nullable || !isKnown) {
    control.append(h("option", { value: MISSING }, spec.nullable ? "(missing)" : "(choose)"));
  }
  for (const value of known) {
    control.append(h("option", { value: JSON.stringify(value) }, value === "" ? "(empty text)" : String(value)));
  }
  control.value = isKnown ? JSON.stringify(initial) : MISSING;
  return { control, extra: null, token: () => control.value };
}

function drawNumber(kind) {
  const step = kind === "int" ? "1" : "any";
  return h("input", { type: "number", step, inputmode: kind === "int" ? "numeric" : "decimal", autocomplete: "off" });
}

function drawText(kind) {
  const placeholder = { datetime: "2026-01-31T12:00:00", any: "text or JSON" }[kind];
  return h("input", { type: "text", placeholder, autocomplete: "off", spellcheck: "false" });
}

function asTyped(value, kind) {
  if (value === null || value === undefined) return "";
  if (typeof value === "string" && !(kind === "any" && isJson(value))) return value;
  return kind === "str" || kind === "datetime" ? String(value) : JSON.stringify(value);
}

/** The JSON of what stands in a field. */
export function tokenOf(text, kind, nullable) {
  if (text === "") return kind === "str" && !nullable ? '""' : MISSING;
  if (kind === "int" && /^-?\d+$/.test(text)) return BigInt(text).toString();
  if (kind === "int" || kind === "float") return JSON_NUMBER.test(text) ? text : JSON.stringify(Number(text));
  if (kind === "bool") return text; // a bool with categories of its own and too many to list
  if (kind === "any" && isJson(text)) return text;
  return JSON.stringify(text);
}

/** Whether a text is JSON as it stands. */
export function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
