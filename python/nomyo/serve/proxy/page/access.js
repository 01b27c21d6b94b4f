// Asks for the token until the proxy accepts one, then opens the chat.

import { adviceFor } from "./advice.js";
import { byId, focusMessage } from "./elements.js";
import { showProtections } from "./protections.js";
import { call, hasToken, refusesToken, takeToken } from "./server.js";
import { showModels } from "./settings.js";

const composer = byId("composer");

export async function open() {
  try {
    const [models, status] = await Promise.all([call("/v1/models"), call("/nomyo/status")]);
    showModels(models.data.map((model) => model.id));
    byId("tier").value = status.security_tier ?? "standard";
    showProtections(status);
  } catch (error) {
    lock(error);
    return;
  }
  byId("unlock").hidden = true;
  byId("choices").hidden = byId("tools").hidden = composer.hidden = false;
  focusMessage();
}

/** Ask for the token, and say what became of the one before. */
export function lock(error) {
  const refused = refusesToken(error);
  const wrong = hasToken() ? "The proxy does not accept this token." : "";
  byId("token-error").textContent = refused ? wrong : adviceFor(error).join(" ");
  composer.hidden = true;
  byId("unlock").hidden = false;
  byId("token").focus();
}

export function unlock(event) {
  event.preventDefault();
  const field = byId("token");
  const typed = field.value.trim();
  field.value = "";
  if (takeToken(typed)) {
    open();
    return;
  }
  byId("token-error").textContent = "A token consists of letters, digits and signs, without spaces.";
  field.focus();
}
