// Markdown within a paragraph: code, emphasis, links. It takes time in proportion to the text, whatever the text is.

import { element } from "./elements.js";

const TOKEN = /\\([!-/:-@[-`{-~])|`+|\*+|_+|~~|!?\[/g;
// Neither a label nor an address can hold the beginning of another link, so that no text is looked through twice.
const LINK =
  /(!?)\[([^[\]\n]{0,500})\]\(((?:[^()\s<>]|\([^()\s<>]*\)){1,2000}|<[^<>\n]{1,2000}>)(?:\s{1,9}"[^"\n]{0,300}")?\)/y;
const DEEPEST = 12;
const NAMES = new Map([["*1", "em"], ["_1", "em"], ["*2", "strong"], ["_2", "strong"], ["~2", "del"]]);

/**
 * Return a text as texts and elements.
 * @param {string} text
 * @param {{left: number}} budget how many elements may still be made; what is beyond stays plain text
 */
export function inline(text, budget) {
  const closers = codeClosers(text);
  const levels = new Levels(budget);
  let at = 0;
  for (const found of text.matchAll(TOKEN)) {
    if (budget.left <= 0) break;
    if (found.index < at) continue; // inside of code or a link
    levels.add(text.slice(at, found.index));
    at = found.index + read(found, text, closers, levels, budget);
  }
  levels.add(text.slice(at));
  return levels.close();
}

/** Read what begins at a token, and return its length. */
function read(found, text, closers, levels, budget) {
  const [whole, escaped] = found;
  if (escaped) levels.add(escaped);
  else if (whole[0] === "`") return readCode(found, text, closers, levels);
  else if (whole.endsWith("[")) return readLink(found, text, levels, budget);
  else levels.mark(whole, text[found.index - 1] ?? " ", text[found.index + whole.length] ?? " ");
  return whole.length;
}

function readCode({ 0: ticks, index }, text, closers, levels) {
  const end = closers.get(index);
  if (end === undefined) {
    levels.add(ticks);
    return ticks.length;
  }
  const code = text.slice(index + ticks.length, end).replaceAll("\n", " ");
  const isPadded = code.startsWith(" ") && code.endsWith(" ") && code.trim() !== "";
  levels.addElement(element("code", isPadded ? code.slice(1, -1) : code));
  return end + ticks.length - index;
}

/** Map each run of backticks to the next one of the same length. */
function codeClosers(text) {
  const closers = new Map();
  const next = new Map();
  for (const { 0: ticks, index } of [...text.matchAll(/`+/g)].reverse()) {
    if (next.has(ticks.length)) closers.set(index, next.get(ticks.length));
    next.set(ticks.length, index);
  }
  return closers;
}

/** A link shows where it leads, and leads nowhere: an answer must not send anybody to an address of its choice. */
function readLink({ 0: bracket, index }, text, levels, budget) {
  LINK.lastIndex = index;
  const link = LINK.exec(text);
  if (link === null) {
    levels.add(bracket);
    return bracket.length;
  }
  const [whole, isImage, label, written] = link;
  const address = written.replace(/^<(.*)>$/, "$1");
  const words = isImage ? [`Image: ${label}`] : inline(label, budget);
  const shown = label === address ? [] : [element("span.label", words), " "];
  levels.addElement(element("span.link", shown, element("span.address", address)));
  return whole.length;
}

/** What is emphasised, level in level. A mark that nothing closes stays as it was written. */
class Levels {
  #levels = [{ sign: "", length: 0, parts: [] }];
  #budget;

  constructor(budget) {
    this.#budget = budget;
  }

  add(part) {
    const { parts } = this.#levels.at(-1);
    const isText = typeof part === "string" && typeof parts.at(-1) === "string";
    if (isText) parts.push(parts.pop() + part);
    else if (part !== "") parts.push(part);
  }

  addElement(made) {
    this.#budget.left -= 1;
    this.add(made);
  }

  /** Take a run of equal signs: first it closes what it can, then it opens. */
  mark(run, before, after) {
    const [sign] = run;
    const word = /[\p{L}\p{N}_]/u;
    const isWithinWord = sign === "_" ? [word.test(before), word.test(after)] : [false, false];
    let left = run.length;
    if (!/\s/.test(before) && !isWithinWord[1]) left = this.#closeBy(sign, left);
    const opens = left > 0 && left <= 3 && !/\s/.test(after) && !isWithinWord[0] && this.#levels.length < DEEPEST;
    if (!opens) this.add(sign.repeat(left));
    else for (const length of left === 3 ? [1, 2] : [left]) this.#levels.push({ sign, length, parts: [] });
  }

  #closeBy(sign, left) {
    while (left > 0) {
      const index = this.#levels.findLastIndex((level) => level.sign === sign && level.length <= left);
      if (index < 1) break;
      this.#giveUpAbove(index);
      const { length, parts } = this.#levels.pop();
      this.addElement(element(NAMES.get(sign + length) ?? "span", parts));
      left -= length;
    }
    return left;
  }

  #giveUpAbove(index) {
    while (this.#levels.length > index + 1) {
      const { sign, length, parts } = this.#levels.pop();
      for (const part of [sign.repeat(length), ...parts]) this.add(part);
    }
  }

  close() {
    this.#giveUpAbove(0);
    return this.#levels[0].parts;
  }
}
