/** Swagger UI over our own OpenAPI document; reads it with the key, if the server wants one. */

import { ProblemError, addKey, get } from "./api.js";
import { h } from "./dom.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", paint);
paint();

async function start() {
  const root = document.getElementById("swagger-ui");
  try {
    const spec = await get("/openapi.json");
    window.SwaggerUIBundle({
      spec,
      domNode: root,
      deepLinking: true,
      validatorUrl: null, // the default asks a host of Swagger's about our document
      requestInterceptor: addKey,
      displayRequestDuration: true,
      defaultModelsExpandDepth: 0,
    });
  } catch (error) {
    if (!(error instanceof ProblemError) && !(error instanceof TypeError)) throw error;
    root.replaceChildren(h("p", { class: "problem", role: "alert" }, `No API document: ${error.message}`));
  }
}

start();
