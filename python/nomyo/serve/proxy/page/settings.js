// What goes with each question: model, tier, instructions, temperature.

import { byId, element, focusMessage } from "./elements.js";

const select = byId("model");
const named = byId("model-name");
const panel = byId("settings");
const instructions = byId("instructions");
const temperature = byId("temperature");

let sendAgain = null; // what to do once the model that was asked for is named

export function showModels(names) {
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => element("option", name)));
  if (names.includes(chosen)) select.value = chosen;
  select.hidden = names.length === 0;
  named.hidden = names.length > 0; // the proxy names none: any may be asked for
}

const chosenModel = () => (select.hidden ? named.value.trim() : select.value);

/** Tell whether a question can be sent with these settings; if not, lead to what is missing. */
export function canSend(send) {
  const isOff = !temperature.checkValidity();
  panel.open = isOff;
  if (isOff) {
    temperature.reportValidity();
    return false;
  }
  askForNoModel();
  if (chosenModel() !== "") return true;
  byId("model-missing").textContent = "Which model? Name it, then press Enter: the message goes to it.";
  sendAgain = send;
  named.focus();
  return false;
}

/** Naming a model no longer sends anything. */
export function askForNoModel() {
  byId("model-missing").textContent = "";
  sendAgain = null;
}

/** Return the fields of a request that the settings make, and the messages that go before all others. */
export function chosen() {
  const words = instructions.value.trim();
  return {
    tier: byId("tier").value,
    fields: { model: chosenModel(), ...(temperature.value === "" ? {} : { temperature: temperature.valueAsNumber }) },
    first: words ? [{ role: "system", content: words }] : [],
  };
}

function onModelKey(event) {
  if (event.key !== "Enter" || event.isComposing || chosenModel() === "") return;
  event.preventDefault();
  focusMessage();
  sendAgain?.();
}

/** What is set must be seen, also where the panel is closed. */
function showCount() {
  const count = [instructions.value.trim(), temperature.value].filter((value) => value !== "").length;
  byId("settings-name").textContent = count ? `Settings (${count})` : "Settings";
}

/** Close the panel if it is open, and tell whether it was. */
export function closePanel() {
  if (!panel.open) return false;
  const hadFocus = panel.contains(document.activeElement);
  panel.open = false;
  if (hadFocus) panel.querySelector("summary").focus();
  return true;
}

named.addEventListener("keydown", onModelKey);
panel.addEventListener("input", showCount);
document.addEventListener("pointerdown", (event) => {
  if (!panel.contains(event.target)) panel.open = false;
});
