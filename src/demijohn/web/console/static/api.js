/**
 * Talking to the server this page came from, with a key once it asks for one.
 *
 * Rules: paths are relative to the blueprint's prefix, so nothing leaves the host; the key
 * is kept in sessionStorage (this tab, until it is closed) and never written into the page.
 */

const KEY_NAME = "demijohn-api-key";

const element = (id) => document.getElementById(id);

export const prefix = document.querySelector('meta[name="demijohn-prefix"]').content;

let key = readStoredKey();
let asking = null;
export let keyIsNeeded = key !== null;

/** An answer that is not 2xx; `problem` is RFC 9457's object, as far as the server sent one. */
export class ProblemError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `The server answered ${status}.`);
    this.status = status;
    this.problem = problem;
  }
}

/** The address of one of our routes, for a reader outside this page. */
export function addressOf(path) {
  return location.origin + prefix + path;
}

/** GET one of our routes; asks for a key when the server does. Throws ProblemError. */
export async function get(path) {
  return (await send(path, { headers: { Accept: "application/json" } })).value;
}

/** POST a JSON body; returns `{value, text, duration_s}`, text being the answer as it came. */
export async function post(path, body) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  return send(path, { method: "POST", headers, body });
}

/** Adds the key to a request of Swagger UI, if it goes to this server. */
export function addKey(request) {
  const isOurs = new URL(request.url, location.href).origin === location.origin;
  if (isOurs && key !== null) request.headers = { ...request.headers, "X-API-Key": key };
  return request;
}

async function send(path, options) {
  for (;;) {
    const sentKey = key;
    const started = performance.now();
    const response = await fetch(prefix + path, withKey(options));
    if (response.status === 401) {
      await renewKey(sentKey);
      continue;
    }
    const text = await response.text();
    const duration_s = (performance.now() - started) / 1000;
    const value = readJson(text);
    if (!response.ok) throw new ProblemError(response.status, value ?? {});
    return { value, text, duration_s };
  }
}

function withKey(options) {
  if (key === null) return options;
  return { ...options, headers: { ...options.headers, "X-API-Key": key } };
}

function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // a proxy's page in front of us, say: the status still tells
  }
}

/** Ask for another key than the refused one, once for all requests that wait for it. */
async function renewKey(refused) {
  keyIsNeeded = true;
  element("change-key").hidden = false;
  if (refused !== key) return; // another request got a new one meanwhile
  asking ??= askForKey(
    refused === null ? "This server asks for an API key." : "The server refused that key.",
  ).finally(() => (asking = null));
  await asking;
}

/** Opens the dialog; resolves when a key was given, rejects when it was cancelled. */
function askForKey(message) {
  const dialog = element("key-dialog");
  const input = element("key-input");
  element("key-message").textContent = message;
  input.value = "";
  return new Promise((resolve, reject) => {
    let given = false;
    element("key-form").onsubmit = () => (given = true);
    element("key-cancel").onclick = () => dialog.close();
    dialog.onclose = () => {
      const text = input.value.trim();
      input.value = "";
      if (!given || text === "") {
        reject(new ProblemError(401, { title: "API key needed", detail: "No API key was given." }));
        return;
      }
      keep(text);
      resolve();
    };
    dialog.showModal();
  });
}

function keep(text) {
  key = text;
  try {
    sessionStorage.setItem(KEY_NAME, text);
  } catch {
    // Storage is switched off in this browser: the key lives as long as the page.
  }
}

function readStoredKey() {
  try {
    return sessionStorage.getItem(KEY_NAME);
  } catch {
    return null; // storage is switched off in this browser
  }
}

element("change-key").hidden = !keyIsNeeded;
element("change-key").addEventListener("click", () => {
  askForKey("Another key for this server.").then(() => location.reload(), () => {});
});
