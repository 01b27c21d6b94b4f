// Builds what the page shows. Words of others become text nodes alone, with escapes for what steers how they are shown.

import { visible } from "./visible.js";

export const byId = (id) => document.getElementById(id);
export const onClick = (id, act) => byId(id).addEventListener("click", act);
export const focusMessage = () => byId("message").focus({ preventScroll: true });

/** Make an element, `tag` or `tag.class.class`; children are elements, texts, and lists of them. */
export function element(name, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  made.className = classes.join(" ");
  const shown = children.flat().map((child) => (typeof child === "string" ? visible(child) : child));
  for (const child of shown) made.append(child); // in one call, 100,000 of them would be too many arguments
  return made;
}

/** Make a button with classes like `.quiet.small`. */
export function button(words, classes, act) {
  const made = element(`button${classes}`, words);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

export function disclosure(name, content) {
  return element("details", element("summary", name), content);
}
