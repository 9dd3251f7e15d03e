// Elements are made here and nowhere from text: what a gallery holds can only ever be shown.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "htmlFor", "className"]);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false && child !== "") element.append(child);
  }
  return element;
}

/** An HTML element; attributes that are functions listen, and children that are text stay text. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Let an element hold these children and no others; those that are false are none. */
export function put(element, ...children) {
  element.replaceChildren();
  return fill(element, null, children);
}

/** The element of the page that has this id. */
export const by = (id) => document.getElementById(id);

let labels = 0;

/** A field with its label, one below the other. */
export function field(text, control, hint) {
  control.id ||= `field-${(labels += 1)}`;
  return h("div", { class: "field" },
    h("label", { htmlFor: control.id }, text),
    control,
    hint && h("small", null, hint));
}

/** A list of choices, [value, text] each. */
export function select(choices, value, attributes) {
  const element = h("select", attributes,
    choices.map(([each, text]) => h("option", { value: each }, text)));
  element.value = value;
  return element;
}

const said = { text: "", timer: 0 };

/** Tell those who listen to the page rather than look at it. */
export function say(text) {
  said.text = text;
  clearTimeout(said.timer);
  said.timer = setTimeout(() => { by("said").textContent = said.text; }, 50);
}
