/** Swagger UI over our own OpenAPI document; reads it with the key, if the server wants one. */

import { ProblemError, addKey, get, keyIsNeeded } from "./api.js";
import { h } from "./dom.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", paint);
paint();

async function start() {
  const root = document.getElementById("swagger-ui");
  try {
    const spec = await get("/openapi.json");
    // A link carries no key: behind one, it would lead to a refusal.
    document.getElementById("openapi-link").hidden = keyIsNeeded;
    window.SwaggerUIBundle({
      spec,
      domNode: root,
      deepLinking: true,
      validatorUrl: null, // the default asks a host of Swagger's about our document
      requestInterceptor: addKey,
      plugins: [plainDescriptions],
      displayRequestDuration: true,
      defaultModelsExpandDepth: 0,
    });
  } catch (error) {
    if (!(error instanceof ProblemError) && !(error instanceof TypeError)) throw error;
    root.replaceChildren(h("p", { class: "problem", role: "alert" }, `No API document: ${error.message}`));
  }
}

/**
 * Descriptions as text. Swagger UI makes HTML of them and cleans it afterwards; column names and
 * function docstrings are in there, and what is never HTML needs no cleaning. Paragraphs and
 * `code` remain of Markdown.
 */
function plainDescriptions({ React }) {
  const Markdown = ({ source }) =>
    React.createElement("div", { className: "markdown" },
      String(source ?? "").trim().split(/\n\s*\n/).map((paragraph, place) =>
        React.createElement("p", { key: place }, ...paragraph.split(/`([^`]+)`/).map((text, index) =>
          index % 2 === 0 ? text : React.createElement("code", { key: index }, text)))));
  return { components: { Markdown } };
}

start();
