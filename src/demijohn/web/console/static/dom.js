/** Building elements. Rule: text enters a page as text nodes only; attribute names are literals. */

/**
 * @param {string} tag
 * @param {Object} attributes - null, undefined and false leave one out; true writes it empty
 * @param {...(Node|string|null|Array)} children
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A button that copies what `text()` returns when it is pressed. */
export function copyButton(text, label) {
  const button = h("button", { type: "button", class: "copy", "aria-label": label }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text())) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return button;
}

async function copy(text) {
  // The clipboard API exists on https and loopback only; elsewhere a selection is copied.
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(() => true, () => false);
  }
  const area = h("textarea", { class: "offscreen", readonly: true, "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

/**
 * Tabs as the ARIA practices describe them: arrow keys move, one tab is in the tab order.
 * @param {string} id - prefix of the elements' ids
 * @param {string} label - what the tabs are, for a screen reader
 * @param {Array<{name: string, title: string, panel: Node}>} tabs
 * @param {(name: string) => void} onChange
 */
export function tabList(id, label, tabs, onChange = () => {}) {
  const buttons = tabs.map(({ name, title }) =>
    h("button", { type: "button", role: "tab", id: `${id}-${name}`, "aria-controls": `${id}-${name}-panel` }, title),
  );
  const panels = tabs.map(({ name, panel }) =>
    h("div", { role: "tabpanel", id: `${id}-${name}-panel`, "aria-labelledby": `${id}-${name}` }, panel),
  );
  const choose = (chosen) => {
    buttons.forEach((button, index) => {
      button.setAttribute("aria-selected", String(index === chosen));
      button.tabIndex = index === chosen ? 0 : -1;
      panels[index].hidden = index !== chosen;
    });
    onChange(tabs[chosen].name);
  };
  buttons.forEach((button, index) => {
    button.addEventListener("click", () => choose(index));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (index + step + buttons.length) % buttons.length;
      choose(next);
      buttons[next].focus();
    });
  });
  const strip = h("div", { role: "tablist", "aria-label": label, class: "tabs" }, buttons);
  choose(0);
  return { strip, panels };
}
