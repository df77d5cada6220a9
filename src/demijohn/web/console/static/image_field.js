/**
 * A field for an input that can be an image: a file is chosen or dropped, shown, and sent as it is.
 *
 * Rules:
 * 1. The file goes to the server untouched, as {"b64": ...}: what fits is the server's to say.
 * 2. Until a file is chosen the numbers below it are sent, which begin as the example's.
 */

import { h } from "./dom.js";
import { isJson, kindOf } from "./fields.js";

const CHANNELS = [1, 3, 4];
const LONGEST_SIDE = 160; // of the preview, in CSS pixels
const MOST_ENLARGED = 32;

/**
 * Where height, width and channels stand in a row; null where it cannot be an image.
 * The server decides (image_casting.py); a test compares the two.
 */
export function imageAxes({ dtype, shape, categories }) {
  const sizes = (shape ?? []).slice(1);
  const isNumeric = ["int", "float"].includes(kindOf(dtype)) && dtype !== "int8";
  if (!isNumeric || categories) return null;
  if (sizes.length === 2) return { height: 0, width: 1, channels: null };
  if (sizes.length !== 3) return null;
  if (!CHANNELS.includes(sizes[2]) && CHANNELS.includes(sizes[0])) return { height: 1, width: 2, channels: 0 };
  return [...CHANNELS, -1].includes(sizes[2]) ? { height: 0, width: 1, channels: 2 } : null;
}

/** The field; arguments and result as `createField` has them, of a spec that `imageAxes` knows. */
export function createImageField(spec, initial, index) {
  const id = `field-${index}`;
  const axes = imageAxes(spec);
  const file = h("input", {
    type: "file", id, name: spec.name, accept: "image/png,image/jpeg", "data-testid": "image-file",
    "aria-describedby": `${id}-hint ${id}-error`,
  });
  const numbers = h("textarea", { id: `${id}-numbers`, rows: 5, spellcheck: "false", class: "code" });
  numbers.value = initial === undefined ? "" : JSON.stringify(initial);
  const preview = h("div", { class: "preview", "data-testid": "preview" });
  const remove = h("button", { type: "button", class: "quiet small", hidden: true }, "Use the numbers");
  const error = h("p", { class: "field-error", id: `${id}-error`, "data-testid": "field-error" });
  const chosen = { base64: null, isBeingRead: false };

  const showError = (text) => {
    error.textContent = text ?? "";
    if (text) file.setAttribute("aria-invalid", "true");
    else file.removeAttribute("aria-invalid");
  };
  const show = () => {
    remove.hidden = chosen.base64 === null;
    if (chosen.base64 === null) preview.replaceChildren(drawNumbers(numbers.value, axes));
  };
  const take = async (image) => {
    showError(null);
    chosen.isBeingRead = true;
    try {
      const address = await readAsDataUrl(image);
      chosen.base64 = address.slice(address.indexOf(",") + 1);
      preview.replaceChildren(drawImage(address, image.name));
    } catch {
      showError("The browser could not read this file.");
    } finally {
      chosen.isBeingRead = false;
      show();
    }
  };
  const drop = () => {
    chosen.base64 = null;
    file.value = "";
    showError(null);
    show();
  };
  file.addEventListener("change", () => (file.files.length > 0 ? take(file.files[0]) : drop()));
  remove.addEventListener("click", drop);
  numbers.addEventListener("input", drop);
  const area = h("div", { class: "picture" }, preview,
    h("div", { class: "picture-file" }, file, h("p", { class: "hint", id: `${id}-hint` }, hintOf(spec, axes)), remove));
  acceptDrops(area, file);
  show();
  return {
    name: spec.name,
    isImage: true,
    control: file,
    element: h("div", { class: "field" }, h("label", { for: id }, spec.name), area, error,
      h("details", {}, h("summary", {}, "As numbers"),
        h("label", { for: numbers.id, class: "offscreen" }, `${spec.name} as numbers`), numbers)),
    token: () => (chosen.base64 === null ? numbers.value : JSON.stringify({ b64: chosen.base64 })),
    showError,
    unreadable: () => {
      if (chosen.isBeingRead) return "The file is still being read.";
      return chosen.base64 !== null || isJson(numbers.value) ? null : "Choose an image, or write its numbers as JSON.";
    },
  };
}

function hintOf({ dtype, shape }, axes) {
  const sizes = shape.slice(1);
  const [height, width] = [sizes[axes.height], sizes[axes.width]].map((size) => (size < 0 ? "any" : size));
  const channels = { 1: ", grey", 3: ", RGB", 4: ", RGBA" }[axes.channels === null ? 1 : sizes[axes.channels]] ?? "";
  return `PNG or JPEG, ${width} × ${height} pixels${channels}; becomes ${dtype}, 0 to 255`;
}

/** A page may hold data: images, and no blob: ones; see the policy. */
function readAsDataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

function acceptDrops(area, file) {
  area.addEventListener("dragover", (event) => {
    event.preventDefault();
    area.classList.add("over");
  });
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    if (event.dataTransfer.files.length === 0) return;
    file.files = event.dataTransfer.files;
    file.dispatchEvent(new Event("change"));
  });
}

function drawImage(address, name) {
  const image = h("img", { src: address, alt: name });
  image.addEventListener("load", () => enlarge(image, image.naturalWidth, image.naturalHeight));
  image.addEventListener("error", () => image.replaceWith(h("span", { class: "muted small" }, "no preview")));
  return image;
}

/** Small images are shown larger, their pixels as squares. */
function enlarge(element, width, height) {
  const factor = Math.min(LONGEST_SIDE / Math.max(width, height), MOST_ENLARGED);
  element.style.setProperty("width", `${Math.max(1, width * factor)}px`);
  element.style.setProperty("height", `${Math.max(1, height * factor)}px`);
}

/** What the numbers look like; nothing where they are no image. */
function drawNumbers(text, axes) {
  const nothing = h("span", { class: "muted small" }, "no image");
  const rows = isJson(text) ? JSON.parse(text) : null;
  const planes = rows && planesOf(rows, axes);
  if (!planes) return nothing;
  const [height, width] = [planes[0].length, planes[0][0].length];
  const canvas = h("canvas", { width, height, role: "img", "aria-label": "The numbers as an image" });
  const pixels = new ImageData(width, height);
  const brightest = planes.flat(2).reduce((most, value) => Math.max(most, value), 0);
  const scale = brightest > 1 ? Math.min(1, 255 / brightest) : 255; // from 0 to 1, or from 0 to 255
  for (let at = 0; at < width * height; at += 1) {
    const channels = planes.map((plane) => plane[Math.floor(at / width)][at % width] * scale);
    const [red, green, blue] = channels.length < 3 ? [channels[0], channels[0], channels[0]] : channels;
    pixels.data.set([red, green, blue, channels[3] ?? 255], 4 * at);
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  enlarge(canvas, width, height);
  return canvas;
}

/** The channels of a row, each as rows of numbers; null where it is no rectangle of numbers. */
function planesOf(rows, { channels }) {
  const isPlane = (plane) => Array.isArray(plane) && plane.length > 0 && plane.every((line) =>
    Array.isArray(line) && line.length > 0 && line.length === plane[0].length && line.every(Number.isFinite));
  const split = () => {
    const count = rows?.[0]?.[0]?.length ?? 0;
    return Array.from({ length: count }, (_, one) => rows.map((line) => line.map((cell) => cell?.[one])));
  };
  try {
    const planes = channels === null ? [rows] : channels === 0 ? rows : split();
    return planes.length > 0 && planes.every(isPlane) ? planes : null;
  } catch {
    return null; // lists of another depth
  }
}
