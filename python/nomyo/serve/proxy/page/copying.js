// Copies what is shown. So a copy has the same escapes: what is pasted is what was read.

import { button, element } from "./elements.js";
import { visible } from "./visible.js";

const SHOWN_MS = 2_000;

/** @param {function(): string} text what a click copies */
export function copyButton(name, text) {
  const made = button("Copy", ".quiet.small", async () => {
    made.textContent = (await copied(visible(text()))) ? "Copied" : "Not copied";
    setTimeout(() => (made.textContent = "Copy"), SHOWN_MS);
  });
  made.ariaLabel = name;
  made.ariaLive = "polite";
  return made;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedByHand(text);
  }
}

/** Browsers give their clipboard to pages of TLS and of loopback alone; this way is open to all. */
function copiedByHand(text) {
  const field = element("textarea.unseen");
  const before = document.activeElement;
  field.value = text;
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  before?.focus({ preventScroll: true });
  return isCopied;
}
