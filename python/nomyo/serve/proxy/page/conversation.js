// The conversation: questions, what becomes of them, and the tokens that they took. It lives in this module alone.

import { lock } from "./access.js";
import { adviceFor } from "./advice.js";
import { answerOf } from "./answer.js";
import { button, byId, element, focusMessage } from "./elements.js";
import { countsOf } from "./facts.js";
import { areBeingRead, clearImages, fitTogether, pendingImages, putImages, shownImage } from "./images.js";
import { showProtections } from "./protections.js";
import { call, refusesToken } from "./server.js";
import { askForNoModel, canSend, chosen } from "./settings.js";

const MOST_TOKENS = 2 ** 53; // beyond it, numbers are no longer exact
const message = byId("message");
const log = byId("conversation");

let turns = [];
let underWay = null; // the AbortController of the request that is waited for
let edited = null; // the turn that the next message replaces, and what was being written before
let spent = nothingSpent();

function nothingSpent() {
  return { asked: 0, told: 0, isWhole: true };
}

export const isEmpty = () => turns.length === 0;
export const transcript = () => turns.map(({ question, images, reply, model }) => ({ question, images, reply, model }));
export const stop = () => underWay?.abort();

/** Send what is written; if a setting is missing, lead to it first. */
export function send() {
  const question = message.value.trim();
  if (underWay || areBeingRead() || (!question && pendingImages().length === 0) || !canSend(send)) return;
  const turn = turnOf(question, pendingImages());
  if (!fitTogether([...answeredBefore(edited?.turn), turn].flatMap(({ images }) => images))) return;
  putImages([]);
  message.value = "";
  if (edited) forgetFrom(turns.indexOf(edited.turn));
  leaveEdit();
  for (const again of log.querySelectorAll(":is(.failure, .stopped) button")) again.remove();
  turns.push(turn);
  log.append(turn.article);
  showWhetherEmpty();
  ask(turn);
}

function turnOf(question, images) {
  const turn = { question, images, reply: null, model: null, parts: [], answer: element("div.answer") };
  const actions = element("div.actions", button("Edit", ".quiet.small.waits", () => edit(turn)));
  const shown = images.length ? [element("div.images", images.map(shownImage))] : [];
  const said = element("div.text", question);
  turn.article = element("article", element("div.question", element("h2", "You"), shown, said, actions), turn.answer);
  return turn;
}

/** Send the turn's question behind all turns that were answered; those that were not are left out. */
async function ask(turn) {
  const control = new AbortController();
  underWay = control;
  showUnderWay(true);
  const [waiting, waited] = waitingSeconds();
  turn.answer.replaceChildren(waiting);
  turn.article.scrollIntoView({ block: "start" });
  try {
    const completion = await call("/v1/chat/completions", requestFor(turn, control.signal));
    showAnswer(turn, completion, waited());
  } catch (error) {
    waited();
    showFailure(turn, error);
  }
  turn.article.scrollIntoView({ block: "nearest" }); // its beginning, where it is longer than the window
  underWay = null;
  showUnderWay(false);
  call("/nomyo/status").then(showProtections, () => {}); // the router's key may have changed
}

/** Return words that count the seconds, and a function that ends this and tells how many there were. */
function waitingSeconds() {
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const count = element("span");
  count.ariaHidden = "true"; // a screen reader would say each of them
  const timer = setInterval(() => (count.textContent = `${Math.floor(seconds())} s`), 1000);
  const ended = () => {
    clearInterval(timer);
    return seconds();
  };
  return [element("p.waiting", "Sealing, sending, waiting for the answer. ", count), ended];
}

function requestFor(turn, signal) {
  const { tier, fields, first } = chosen();
  const answered = answeredBefore(turn).flatMap((each) => [askedIn(each), { role: "assistant", content: each.reply }]);
  const messages = [...first, ...answered, askedIn(turn)];
  const headers = { "Content-Type": "application/json", "X-Security-Tier": tier };
  return { method: "POST", headers, body: JSON.stringify({ ...fields, messages }), signal };
}

/** Return the answered turns before one, or all of them. */
function answeredBefore(turn) {
  return turns.slice(0, turn && turns.indexOf(turn)).filter(({ reply }) => reply !== null);
}

function askedIn({ question, images }) {
  if (images.length === 0) return { role: "user", content: question };
  const text = question ? [{ type: "text", text: question }] : [];
  return { role: "user", content: [...text, ...images.map(({ url }) => ({ type: "image_url", image_url: { url } }))] };
}

function showAnswer(turn, completion, seconds) {
  const { reply, parts, copy } = answerOf(completion, seconds);
  const again = button("Regenerate", ".quiet.small.waits", () => askAgain(turn));
  Object.assign(turn, { reply, model: parts[0].textContent, parts: [...parts, element("div.actions", copy, again)] });
  turn.answer.replaceChildren(...turn.parts);
  if (turns.includes(turn)) count(completion.usage); // it was not cleared meanwhile
}

/** An answer that is there stays, if there is no other in its place. */
function showFailure(turn, error) {
  const isStopped = error.name === "AbortError";
  const again = button("Retry", isStopped ? ".quiet" : "", () => askAgain(turn));
  turn.answer.replaceChildren(...turn.parts, isStopped ? stopped(again) : failure(error, again));
  if (refusesToken(error)) lock(error);
}

function stopped(again) {
  const words = element("p", "Stopped. The request may have been served all the same, and billed.");
  return element("div.stopped", words, again);
}

function failure(error, again) {
  const [what, todo] = adviceFor(error);
  const said = error.message ? [element("p.said", error.message)] : [];
  return element("div.failure", element("p", element("strong", what), ` ${todo}`), said, again);
}

function askAgain(turn) {
  if (underWay || !turns.includes(turn) || !canSend(() => askAgain(turn))) return;
  ask(turn);
  focusMessage();
}

function showUnderWay(isUnderWay) {
  byId("stop").hidden = !isUnderWay;
  byId("send").hidden = isUnderWay;
  for (const waiting of log.querySelectorAll(".waits")) waiting.disabled = isUnderWay;
  const buttonWithFocusIsGone = document.activeElement === document.body;
  if (buttonWithFocusIsGone) focusMessage();
}

// Edit and forget

function edit(turn) {
  if (underWay) return;
  edited?.turn.article.classList.remove("edited");
  edited = { turn, draft: edited?.draft ?? { text: message.value, images: pendingImages() } };
  turn.article.classList.add("edited");
  write(turn.question, turn.images);
  byId("editing").hidden = false;
}

/** Leave the edit, and go on with what was being written before; tell whether there was one. */
export function leaveEdit() {
  if (!edited) return false;
  const { turn, draft } = edited;
  edited = null;
  turn.article.classList.remove("edited");
  byId("editing").hidden = true;
  write(draft.text, draft.images);
  return true;
}

function write(text, images) {
  message.value = text;
  putImages(images);
  focusMessage();
}

function forgetFrom(index) {
  for (const { article } of turns.splice(index)) article.remove();
  showWhetherEmpty();
}

export function clear() {
  stop();
  askForNoModel();
  leaveEdit();
  forgetFrom(0);
  spent = nothingSpent();
  showSpent();
  write("", []);
  clearImages();
}

function showWhetherEmpty() {
  byId("welcome").hidden = !isEmpty();
  byId("export").disabled = isEmpty();
}

// Tokens

/** Answers that were replaced count, too: they were billed. */
function count(usage) {
  const counts = countsOf(usage);
  const [asked, told] = [spent.asked, spent.told].map((sum, index) => Math.min(sum + (counts[index] ?? 0), MOST_TOKENS));
  spent = { asked, told, isWhole: spent.isWhole && !counts.includes(null) };
  showSpent();
}

function showSpent() {
  const { asked, told, isWhole } = spent;
  byId("tally").textContent = asked + told ? `Tokens so far: ${isWhole ? "" : "at least "}${asked} in, ${told} out` : "";
}
