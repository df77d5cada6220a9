/** The model's example as a curl line, as Python and as JavaScript, ready to paste. */

import { addressOf, keyIsNeeded } from "./api.js";
import { copyButton, h, tabList } from "./dom.js";

const KEY_PLACEHOLDER = "YOUR_API_KEY";
const WIDTH = 76;

const PYTHON = { null: "None", true: "True", false: "False" };
const JAVASCRIPT = { null: "null", true: "true", false: "false" };

/** Language → the program that sends `body` to `url`. */
export const SNIPPETS = { curl: curlSnippet, python: pythonSnippet, javascript: javascriptSnippet };
const TITLES = { curl: "curl", python: "Python", javascript: "JavaScript" };

/**
 * @param {() => string} path - of the chosen method, below the prefix
 * @param {() => *} body - a request body as a value, for the chosen method
 * @returns {{element: Node, refresh: () => void}}
 */
export function drawSnippets(path, body) {
  const codes = Object.keys(SNIPPETS).map((language) =>
    h("code", { id: `snippet-${language}`, "data-testid": `snippet-${language}` }));
  const refresh = () => Object.values(SNIPPETS).forEach((write, index) => {
    codes[index].textContent = write(addressOf(path()), body(), keyIsNeeded);
  });
  const tabs = Object.entries(TITLES).map(([name, title], index) => ({
    name,
    title,
    panel: h("div", { class: "snippet" }, h("pre", { tabindex: "0" }, codes[index]),
      copyButton(() => codes[index].textContent, `Copy the ${title} snippet`)),
  }));
  const { strip, panels } = tabList("language", "Language", tabs);
  refresh();
  return { element: h("div", {}, strip, panels), refresh };
}

function curlSnippet(url, body, needsKey) {
  const key = needsKey ? `  -H 'X-API-Key: ${KEY_PLACEHOLDER}' \\\n` : "";
  const quoted = `'${JSON.stringify(body).replaceAll("'", "'\\''")}'`;
  return `curl ${shellWord(url)} \\\n  -H 'Content-Type: application/json' \\\n${key}  -d ${quoted}`;
}

function shellWord(url) {
  return /^[\w.:/~-]+$/.test(url) ? url : `'${url.replaceAll("'", "%27")}'`;
}

/** The standard library alone, so that it runs where nothing is installed. */
function pythonSnippet(url, body, needsKey) {
  const key = needsKey ? `, "X-API-Key": "${KEY_PLACEHOLDER}"` : "";
  return `import json
from urllib.request import Request, urlopen

body = ${literal(body, PYTHON)}
request = Request(
    ${JSON.stringify(url)},
    data=json.dumps(body).encode(),
    headers={"Content-Type": "application/json"${key}},
)
with urlopen(request) as response:
    print(json.load(response)["predictions"])`;
}

function javascriptSnippet(url, body, needsKey) {
  const key = needsKey ? `, "X-API-Key": "${KEY_PLACEHOLDER}"` : "";
  return `const body = ${literal(body, JAVASCRIPT)};
const response = await fetch(${JSON.stringify(url)}, {
  method: "POST",
  headers: {"Content-Type": "application/json"${key}},
  body: JSON.stringify(body),
});
console.log((await response.json()).predictions);`;
}

/** A JSON value as source text: on one line if it fits, else an entry per line. */
function literal(value, words, indent = "") {
  const line = oneLine(value, words);
  if (value === null || typeof value !== "object" || indent.length + line.length <= WIDTH) return line;
  const inner = `${indent}    `;
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const entries = Array.isArray(value)
    ? value.map((entry) => literal(entry, words, inner))
    : Object.entries(value).map(([name, entry]) => `${JSON.stringify(name)}: ${literal(entry, words, inner)}`);
  const isFlat = Array.isArray(value) && value.every((entry) => entry === null || typeof entry !== "object");
  if (isFlat) return `[\n${filled(entries, inner)}\n${indent}]`;
  return `${open}\n${entries.map((entry) => `${inner}${entry},`).join("\n")}\n${indent}${close}`;
}

/** Numbers side by side, as many as a line holds. */
function filled(entries, indent) {
  const lines = [indent];
  for (const entry of entries) {
    if (lines.at(-1).length + entry.length > WIDTH && lines.at(-1) !== indent) lines.push(indent);
    lines.push(`${lines.pop()}${entry}, `);
  }
  return lines.map((line) => line.trimEnd()).join("\n");
}

function oneLine(value, words) {
  if (value === null || typeof value === "boolean") return words[String(value)];
  if (typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((entry) => oneLine(entry, words)).join(", ")}]`;
  const entries = Object.entries(value).map(([name, entry]) => `${JSON.stringify(name)}: ${oneLine(entry, words)}`);
  return `{${entries.join(", ")}}`;
}
