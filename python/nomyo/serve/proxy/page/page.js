// The chat at the proxy's `/`: which key and which button does what. The other files of this folder each have one subject.
//
// - What others wrote (answers, names of models, errors) reaches the page as text nodes alone, never as markup;
//   what would have it read in another order than it has, or is not seen, is shown as an escape.
// - The token lives in a variable, the conversation in the page. Nothing is stored: no cookie, no localStorage,
//   no sessionStorage, no cache; the address bar loses the token as soon as it was read.
// - Requests go to the server that the page came from, and nowhere else.

import { open, unlock } from "./access.js";
import { clear, isEmpty, leaveEdit, send, stop } from "./conversation.js";
import { byId, onClick } from "./elements.js";
import { exportConversation } from "./exporting.js";
import { takeTokenFromAddress } from "./server.js";
import { closePanel } from "./settings.js";

const WIDE = matchMedia("(min-width: 64rem)");
const PHONE = matchMedia("(hover: none) and (pointer: coarse)");
const message = byId("message");
const forget = byId("forget");

/** On a phone, Enter makes a line: its keyboard has no other key for that, and Send is at hand. */
function onKey(event) {
  if (event.key !== "Enter" || event.isComposing) return; // a composed sign ends with Enter, too
  const isSend = event.ctrlKey || event.metaKey || !(event.shiftKey || PHONE.matches);
  if (!isSend) return;
  event.preventDefault();
  send();
}

function onEscape(event) {
  if (event.key !== "Escape" || forget.open || closePanel()) return;
  if (!byId("stop").hidden) stop();
  else leaveEdit();
}

function showKeys() {
  byId("keys").hidden = PHONE.matches;
  if (PHONE.matches) message.removeAttribute("aria-describedby");
  else message.setAttribute("aria-describedby", "keys");
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
message.addEventListener("keydown", onKey);
document.addEventListener("keydown", onEscape);
byId("unlock").addEventListener("submit", unlock);
onClick("stop", stop);
onClick("leave-edit", leaveEdit);
onClick("export", exportConversation);
onClick("clear", () => (isEmpty() ? clear() : forget.showModal()));
onClick("keep", () => forget.close());
onClick("forget-it", () => {
  forget.close();
  clear();
});
WIDE.addEventListener("change", () => (byId("protections").open = WIDE.matches));
PHONE.addEventListener("change", showKeys);
addEventListener("hashchange", () => takeTokenFromAddress() && open());
addEventListener("beforeunload", (event) => isEmpty() || event.preventDefault()); // the browser asks then

byId("protections").open = WIDE.matches;
showKeys();
takeTokenFromAddress();
open();
