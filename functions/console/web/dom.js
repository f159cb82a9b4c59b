// The only way in which this page writes: elements, attributes and text. Text that
// comes from outside is never markup.

/** The element with an id that index.html has. */
export const byId = (id) => document.getElementById(id);

// Letters that are not seen, or that turn the order of others: names come from outside.
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** A text with a sign where it has letters that cannot be seen. */
const visible = (text) => String(text).replace(unseen, "\uFFFD");

/** Makes an element; props are class, text, title and attributes. */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === "text") made.textContent = visible(value);
    else if (name === "class") made.className = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

/** Sets the text of an element, and leaves it alone where nothing has changed. */
export function setText(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/** Shows an element with a text, or hides it without one. */
export function setNotice(element, text) {
  element.hidden = !text;
  setText(element, text || "");
}

const rows = new WeakMap(); // of a parent: its children by key

/**
 * Makes the children of parent those of items, in their order. A child that is there
 * already is updated, not replaced: focus, scroll and selection stay.
 */
export function keyed(parent, items, keyOf, make, update) {
  const known = rows.get(parent) ?? new Map();
  const now = new Map();
  let before = null;
  for (const item of items) {
    const key = keyOf(item);
    if (now.has(key)) continue;
    const child = known.get(key) ?? make(item);
    update(child, item);
    now.set(key, child);
    const place = before ? before.nextSibling : parent.firstChild;
    if (place !== child) parent.insertBefore(child, place);
    before = child;
  }
  for (const [key, child] of known) if (!now.has(key)) child.remove();
  rows.set(parent, now);
}

/**
 * Fills a table. columns are {title, cell(row), kind}: kind "number" is set to the
 * right, "name" is the row's head. A cell is a text, or an object {node(td)} that
 * draws into its td.
 */
export function fillTable(table, caption, columns, items, keyOf) {
  if (!table.tHead) {
    table.append(el("caption", { class: "unseen", text: caption }), el("thead", {}, el("tr")), el("tbody"));
  }
  keyed(table.tHead.rows[0], columns, (column) => column.title, (column) => el("th", { scope: "col", class: column.kind, text: column.title }), () => {});
  keyed(table.tBodies[0], items, keyOf, () => el("tr"), (row, item) => {
    keyed(row, columns, (column) => column.title,
      (column) => (column.kind === "name" ? el("th", { scope: "row", class: "name" }) : el("td", { class: column.kind })),
      (cell, column) => {
        const value = column.cell(item);
        if (value && value.node) value.node(cell);
        else setText(cell, String(value ?? ""));
      });
  });
}

/** Draws a bar of a share into a cell, with its text beside it. */
export function bar(share, text, kind = "") {
  return {
    node(cell) {
      if (!cell.firstElementChild) cell.append(el("span", { class: "meter", "aria-hidden": "true" }, el("i")), el("span", { class: "figure" }));
      const [meter, figure] = cell.children;
      meter.hidden = share === null || Number.isNaN(share);
      meter.firstElementChild.className = kind;
      meter.firstElementChild.style.width = `${Math.min(Math.max(share || 0, 0), 1) * 100}%`;
      setText(figure, text);
    },
  };
}
