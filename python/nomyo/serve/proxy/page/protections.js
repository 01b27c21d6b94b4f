// The protections that are in force, as the proxy tells them.

import { byId, element } from "./elements.js";

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

let knownFingerprint = null;

export function showProtections({ version, router, protections }) {
  const { is_platform_secure: secure, method, details, locked_memory_required: required } = protections;
  const fingerprint = router.key_fingerprint;
  const memory = secure ? ["good", "Sealing works in locked memory"] : ["weak", "Memory is not fully locked"];
  const list = byId("protections-list");
  list.replaceChildren(
    ...protection("good", "Sealed for the router", `AES-256-GCM and RSA-OAEP, a fresh key each time, to ${router.url}`),
    ...authentication(router),
    ...keyProtection(router),
    ...protection(...memory, `${sentence(details ?? method)} ${required ? "Nothing is sent without it." : ""}`),
    ...wayProtection(),
    ...protection("good", "Nothing is stored", "No cookie, no storage, no cache. A browser's memory is not locked."),
  );
  const weak = list.querySelectorAll("dt.weak").length;
  const key = fingerprint ? `${fingerprint.slice(7, 15)}…` : "not known";
  byId("protections-summary").textContent = `Sealed · ${weak || "nothing"} weak · router's key ${key}`;
  byId("version").textContent = `nomyo ${version}`;
}

/** TLS is what tells who answers; sealing tells who can read. */
function authentication({ url }) {
  const isTls = url.startsWith("https:");
  if (isTls) return protection("good", "The router's certificate is checked", "TLS, below the sealing");
  return protection("weak", "The router is reached over plain HTTP", "Nothing tells who answers: for local work only.");
}

function keyProtection({ key_fingerprint: fingerprint, key_error: error, key_pinned: pinned }) {
  if (!fingerprint) {
    const why = (error ?? "not asked for yet").replaceAll("_", " ");
    return protection("weak", "Router's key", `Not known: ${why}.`);
  }
  const changed = knownFingerprint !== null && knownFingerprint !== fingerprint;
  knownFingerprint ??= fingerprint;
  const compare = "Not pinned: compare it with what the router's operator told you.";
  const source = pinned ? "Pinned: no other is accepted." : compare;
  const words = changed ? `It is another than when this page was opened. ${source}` : source;
  const shown = element("code.fingerprint", fingerprint);
  return protection(changed ? "weak" : pinned ? "good" : "plain", changed ? "Router's key has changed" : "Router's key", shown, words);
}

function wayProtection() {
  if (LOOPBACK.test(location.hostname)) {
    return protection("good", "This page stays on this machine", "Browser and proxy talk over loopback alone.");
  }
  if (location.protocol === "https:") return protection("good", "From browser to proxy by TLS", location.host);
  return protection("weak", "From browser to proxy in clear", "Whoever is between them can read along.");
}

function protection(kind, name, ...words) {
  return [element(`dt.${kind}`, name), element("dd", ...words)];
}

const sentence = (words) => `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
