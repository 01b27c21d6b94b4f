// The chat at the proxy's `/`.
//
// - What others wrote (answers, names of models, errors) reaches the page as text nodes alone, never as markup;
//   what would have it read in another order than it has, or is not seen, is shown as an escape.
// - The token lives in a variable of this module, the conversation in the page. Nothing is stored: no cookie, no
//   localStorage, no sessionStorage, no cache; the address bar loses the token as soon as it was read.
// - Requests go to the server that the page came from, and nowhere else.

import { adviceFor } from "./advice.js";
import { visible } from "./visible.js";

const WIDE = matchMedia("(min-width: 64rem)");
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;
const MOST_FACTS = 200; // an answer's metadata may be anything, and of any size
const LONGEST_FACT = 500;
const TOKEN = /^[\x21-\x7e]+$/; // what an Authorization header can carry (RFC 9110, 5.5)

const byId = (id) => document.getElementById(id);
const composer = byId("composer");
const message = byId("message");
const conversation = byId("conversation");

let token = takeTokenFromAddress();
let underWay = null; // the AbortController of the request that is waited for
let turns = [];
let knownFingerprint = null;

class Failure extends Error {
  /** @param {number} status of HTTP; 0 where no answer came */
  constructor(status, { said = "", code = null, retryAfter = null } = {}) {
    super(said);
    Object.assign(this, { status, code, retryAfter });
  }
}

// The server

async function call(path, options = {}) {
  const response = await reach(path, options);
  const body = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (response.ok && body !== null) return body;
  const { message: said = "", code = null } = body?.error ?? {};
  const retryAfter = response.headers.get("Retry-After");
  throw new Failure(response.ok ? 502 : response.status, { said, code, retryAfter });
}

async function reach(path, options) {
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  const careful = { cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer" };
  try {
    return await fetch(path, { ...options, ...careful, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(0);
  }
}

const refusesToken = (error) => error.status === 401; // the proxy's own: the router's comes as 502

// Unlocking

function takeTokenFromAddress() {
  const given = tokenIn(location.hash);
  if (location.hash) history.replaceState(null, "", location.pathname);
  return given;
}

/** Return the token of an address with `#token=` in it, or null. */
function tokenIn(address) {
  const [, written = ""] = address.split("#token=");
  try {
    const given = decodeURIComponent(written);
    return TOKEN.test(given) ? given : null;
  } catch {
    return null; // a percent sign that escapes nothing
  }
}

async function open() {
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
  byId("choices").hidden = composer.hidden = false;
  message.focus({ preventScroll: true });
}

function lock(error) {
  const refused = refusesToken(error);
  const wrong = token === null ? "" : "The proxy does not accept this token.";
  byId("token-error").textContent = refused ? wrong : adviceFor(error).join(" ");
  composer.hidden = true;
  byId("unlock").hidden = false;
  byId("token").focus();
}

function unlock(event) {
  event.preventDefault();
  const field = byId("token");
  const typed = field.value.trim();
  const given = tokenIn(typed) ?? typed; // the whole address will do
  field.value = "";
  if (!TOKEN.test(given)) {
    byId("token-error").textContent = "A token consists of letters, digits and signs, without spaces.";
    field.focus();
    return;
  }
  token = given;
  open();
}

// The conversation

function send() {
  const question = message.value.trim();
  if (!question || underWay) return;
  message.value = "";
  for (const button of conversation.querySelectorAll(".failure button")) button.remove();
  const answer = element("div", "answer");
  const asked = element("div", "question", element("h2", "", "You"), element("div", "text", question));
  const article = element("article", "", asked, answer);
  const turn = { question, reply: null, answer, article };
  turns.push(turn);
  byId("welcome").hidden = true;
  conversation.append(article);
  ask(turn);
}

/** Send the turn's question behind all turns that were answered; those that were not are left out. */
async function ask(turn) {
  const control = new AbortController();
  const model = chosenModel();
  underWay = control;
  showUnderWay(true);
  turn.answer.replaceChildren(element("p", "waiting", "Sealing, sending, waiting for the answer."));
  turn.article.scrollIntoView({ block: "start" });
  const began = performance.now();
  try {
    const completion = await call("/v1/chat/completions", requestFor(turn, model, control.signal));
    showAnswer(turn, completion, (performance.now() - began) / 1000);
  } catch (error) {
    showFailure(turn, error);
  }
  turn.article.scrollIntoView({ block: "nearest" }); // its beginning, where it is longer than the window
  underWay = null;
  showUnderWay(false);
  call("/nomyo/status").then(showProtections, () => {}); // the router's key may have changed
}

function requestFor(turn, model, signal) {
  const before = turns.filter((other) => other.reply !== null && other !== turn);
  const messages = before.flatMap(({ question, reply }) => [
    { role: "user", content: question },
    { role: "assistant", content: reply },
  ]);
  messages.push({ role: "user", content: turn.question });
  const headers = { "Content-Type": "application/json", "X-Security-Tier": byId("tier").value };
  return { method: "POST", headers, body: JSON.stringify({ model, messages }), signal };
}

function showAnswer(turn, completion, seconds) {
  const choice = completion.choices?.[0];
  if (!choice?.message) throw new Failure(502);
  const { content, reasoning_content: reasoning } = choice.message;
  turn.reply = textOf(content);
  const parts = [element("h2", "", wordFor(completion.model ?? "Answer"))];
  if (textOf(reasoning)) parts.push(disclosure("Reasoning", element("div", "text", textOf(reasoning))));
  parts.push(element("div", "text", withCodeApart(turn.reply)));
  const remark = remarkOn(choice, turn.reply);
  if (remark) parts.push(element("p", "remark", remark));
  turn.answer.replaceChildren(...parts, ...metadataOf(completion, seconds));
}

/** Some models answer with a list of parts. */
function textOf(content) {
  if (!Array.isArray(content)) return typeof content === "string" ? content : "";
  return content.map((part) => (typeof part?.text === "string" ? part.text : "")).join("");
}

/** Put what stands between lines of three backticks into elements of its own; nothing else is taken for markup. */
function withCodeApart(text) {
  const parts = text.split(/^```.*\n?/m);
  return parts.map((part, index) => (index % 2 ? element("code", "", part.replace(/\n$/, "")) : part));
}

function remarkOn({ finish_reason: reason }, reply) {
  if (reason === "length") return "The answer was cut off at the longest that the model may give.";
  if (reason === "content_filter") return "A filter at the model left something out.";
  return reply ? "" : "The model answered without text.";
}

function showFailure(turn, error) {
  const stopped = error.name === "AbortError";
  const [what, todo] = stopped
    ? ["Stopped.", "The request may have been served all the same, and billed."]
    : adviceFor(error);
  const again = element("button", stopped ? "quiet" : "", "Retry");
  again.type = "button";
  again.addEventListener("click", () => {
    if (underWay) return;
    ask(turn);
    message.focus({ preventScroll: true });
  });
  const said = error.message && !stopped ? [element("p", "said", error.message)] : [];
  const words = element("p", "", element("strong", "", what), ` ${todo}`);
  turn.answer.replaceChildren(element("div", "failure", words, ...said, again));
  if (refusesToken(error)) lock(error);
}

function clear() {
  underWay?.abort();
  turns = [];
  conversation.replaceChildren();
  byId("welcome").hidden = false;
  message.value = "";
  message.focus({ preventScroll: true });
}

function showUnderWay(isUnderWay) {
  byId("stop").hidden = !isUnderWay;
  byId("send").hidden = isUnderWay;
  const buttonWithFocusIsGone = document.activeElement === document.body;
  if (buttonWithFocusIsGone) message.focus({ preventScroll: true });
}

// What each answer says of itself

function metadataOf(completion, seconds) {
  const meta = completion._metadata ?? {};
  const sealed = meta.is_encrypted === true ? "both ways" : "not known";
  const facts = [
    ["Sealed", sealed, meta.is_encrypted !== true],
    ["Time", `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`],
    ["Tokens", tokensIn(completion.usage)],
    ["Tier", meta.security_tier],
    ["Payload", meta.payload_id],
  ];
  const { id, created, model, usage } = completion;
  const head = { id, created, model, usage };
  const all = [
    ...flat(head, ""),
    ["finish reason", completion.choices[0].finish_reason],
    ...flat(meta, ""),
  ];
  return [factList("facts", facts), disclosure("All metadata", factList("facts all", all.slice(0, MOST_FACTS)))];
}

function factList(className, facts) {
  const known = facts.filter(([, value]) => value !== undefined && value !== null);
  const rows = known.map(([name, value, weak]) =>
    element("div", weak ? "weak" : "", element("dt", "", name), element("dd", "", wordFor(value))));
  return element("dl", className, rows);
}

/** Return how many tokens an answer says it took; null where it says nothing that can be a count. */
function tokensIn(usage) {
  const [asked, told] = [usage?.prompt_tokens, usage?.completion_tokens].map(countOf);
  return asked === null && told === null ? null : `${asked ?? "unknown"} in, ${told ?? "unknown"} out`;
}

const countOf = (value) => (Number.isSafeInteger(value) && value >= 0 ? value : null);

/** Make pairs of a name and a value of an object of objects; Unix times are written as dates. */
function flat(value, name) {
  if (value === undefined || value === null) return [];
  if (typeof value === "object") {
    return Object.entries(value).flatMap(([key, inner]) => flat(inner, shortened(`${name} ${key.replaceAll("_", " ")}`.trim())));
  }
  const time = /^(created|processed at)$/.test(name) && typeof value === "number" ? new Date(value * 1000) : NaN;
  return [[name, Number.isNaN(Number(time)) ? value : time.toLocaleString()]];
}

/** Return a value of any type as a text; String() throws for an object whose `toString` is no function. */
function wordFor(value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  return shortened(typeof value === "object" ? JSON.stringify(value) : String(value));
}

const shortened = (text) => (text.length > LONGEST_FACT ? `${text.slice(0, LONGEST_FACT)}…` : text);

// Models and protections

function showModels(names) {
  const select = byId("model");
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => element("option", "", name)));
  if (names.includes(chosen)) select.value = chosen;
  select.hidden = names.length === 0;
  byId("model-name").hidden = names.length > 0; // the proxy names none: any may be asked for
}

function chosenModel() {
  const select = byId("model");
  return select.hidden ? byId("model-name").value.trim() : select.value;
}

function showProtections({ version, router, protections }) {
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
  const shown = element("code", "fingerprint", fingerprint);
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
  return [element("dt", kind, name), element("dd", "", ...words)];
}

// Small things

function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  const shown = children.flat().map((child) => (typeof child === "string" ? visible(child) : child));
  for (const child of shown) made.append(child); // in one call, 100,000 of them would be too many arguments
  return made;
}

const sentence = (words) => `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;

function disclosure(name, content) {
  return element("details", "", element("summary", "", name), content);
}

function onKey(event) {
  const isSend = event.key === "Enter" && !event.shiftKey && !event.isComposing; // a composed sign ends with Enter too
  if (!isSend) return;
  event.preventDefault();
  send();
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
message.addEventListener("keydown", onKey);
document.addEventListener("keydown", (event) => event.key === "Escape" && underWay?.abort());
byId("unlock").addEventListener("submit", unlock);
byId("stop").addEventListener("click", () => underWay?.abort());
byId("clear").addEventListener("click", clear);
WIDE.addEventListener("change", () => (byId("protections").open = WIDE.matches));
addEventListener("hashchange", () => {
  const given = takeTokenFromAddress();
  if (given === null) return;
  token = given;
  open();
});

byId("protections").open = WIDE.matches;
open();
