// Markdown into elements: an answer's text is only ever read, and each element is made here, from a fixed list of names.
// What is no Markdown that is known here (HTML, too) stays text.

import { copyButton } from "./copying.js";
import { element } from "./elements.js";
import { inline } from "./inline.js";

const MOST_PARTS = 5_000; // a block of code is one, and takes six elements
const MOST_COLUMNS = 100;
const DEEPEST = 8;
const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const MARKER = /^( {0,3})([-*+]|(\d{1,9})[.)])( +|$)/;
const READERS = [readFence, readHeading, readRule, readQuote, readList, readTable, readParagraph];

/** Return elements for a text in Markdown; what is beyond its first 5,000 parts is one paragraph of plain text. */
export function markdown(text) {
  return blocksOf(text.replaceAll("\r\n", "\n").split("\n"), { left: MOST_PARTS, heading: 2 }, 0);
}

function blocksOf(lines, budget, depth) {
  const made = [];
  let at = 0;
  while (at < lines.length) {
    if (isBlank(lines[at])) {
      at += 1;
      continue;
    }
    if (budget.left <= 0 || depth > DEEPEST) return [...made, element("p", lines.slice(at).join("\n"))];
    budget.left -= 1;
    for (const reader of READERS) {
      const read = reader(lines, at, budget, depth);
      if (read === null) continue;
      made.push(read.made);
      at = read.next;
      break;
    }
  }
  return made;
}

const isBlank = (line) => line.trim() === "";

// Each reader returns the element that begins at a line, and the line behind it; null if none of its kind begins there.

function readFence(lines, at) {
  const opened = FENCE.exec(lines[at]);
  if (opened === null) return null;
  const [, fence, info] = opened;
  const closes = (line) => {
    const run = line.trim();
    return run.length >= fence.length && run === fence[0].repeat(run.length) && indentOf(line) < 4;
  };
  const end = endFrom(at + 1, lines, closes);
  const code = lines.slice(at + 1, end).map((line) => outdented(line, indentOf(lines[at]))).join("\n").replace(/\n$/, "");
  return { made: codeBlock(code, info.trim().split(/\s/)[0].slice(0, 40)), next: end + 1 };
}

function codeBlock(code, language) {
  const head = element("div.code-head", element("span", language || "code"), copyButton("Copy code", () => code));
  return element("div.code", head, element("pre", element("code", code)));
}

/** Levels never leap: screen readers tell the structure by them. */
function readHeading(lines, at, budget) {
  const found = HEADING.exec(lines[at]);
  if (found === null) return null;
  budget.heading = Math.min(found[1].length + 2, budget.heading + 1, 6);
  const words = found[2].trimEnd().replace(/(^| )#+$/, "");
  return { made: element(`h${budget.heading}`, inline(words, budget)), next: at + 1 };
}

function readRule(lines, at) {
  return RULE.test(lines[at]) ? { made: element("hr"), next: at + 1 } : null;
}

function readQuote(lines, at, budget, depth) {
  if (!QUOTE.test(lines[at])) return null;
  const next = endFrom(at, lines, (line) => !QUOTE.test(line));
  const inner = lines.slice(at, next).map((line) => line.replace(QUOTE, ""));
  return { made: element("blockquote", blocksOf(inner, budget, depth + 1)), next };
}

function readParagraph(lines, at, budget) {
  const next = endFrom(at + 1, lines, (line, index) => isBlank(line) || interrupts(lines, index));
  return { made: element("p", inline(lines.slice(at, next).join("\n"), budget)), next };
}

function endFrom(from, lines, isEnd) {
  let at = from;
  while (at < lines.length && !isEnd(lines[at], at)) at += 1;
  return at;
}

/** Tell whether a line ends a paragraph. A number does so only as 1: others may stand at a line's beginning by chance. */
function interrupts(lines, at) {
  const line = lines[at];
  const marker = MARKER.exec(line);
  if (marker && marker[4] && (marker[3] ?? "1") === "1") return true;
  return [FENCE, HEADING, RULE, QUOTE].some((begin) => begin.test(line)) || isTable(lines, at);
}

// Lists

function readList(lines, at, budget, depth) {
  const first = MARKER.exec(lines[at]);
  if (first === null) return null;
  const isNumbered = first[3] !== undefined;
  const made = element(isNumbered ? "ol" : "ul");
  if (isNumbered) made.start = Number(first[3]);
  let next = at;
  let marker = first;
  while (marker && (marker[3] !== undefined) === isNumbered && !RULE.test(lines[next]) && budget.left > 0) {
    const item = itemFrom(lines, next, marker);
    budget.left -= 1;
    made.append(element("li", blocksOf(item.lines, budget, depth + 1)));
    next = item.next;
    marker = MARKER.exec(lines[next] ?? "");
  }
  return { made, next };
}

/** An item goes on in lines that are indented, and in those that go on with its paragraph. */
function itemFrom(lines, at, marker) {
  const least = marker[1].length + 2;
  const inner = [lines[at].slice(marker[0].length)];
  const end = endFrom(at + 1, lines, (line, index) => {
    if (isBlank(line) || indentOf(line) >= least) return false;
    return isBlank(lines[index - 1]) || MARKER.test(line) || interrupts(lines, index);
  });
  for (const line of lines.slice(at + 1, end)) inner.push(outdented(line, Math.max(least, marker[0].length)));
  return { lines: inner, next: end };
}

const indentOf = (line) => line.length - line.trimStart().length + 3 * (line.match(/^\t+/)?.[0].length ?? 0);

/** Return a line without so much of its indent; a tab counts as four columns, and goes as a whole. */
function outdented(line, columns) {
  let at = 0;
  for (let left = columns; left > 0 && (line[at] === " " || line[at] === "\t"); at += 1) left -= line[at] === "\t" ? 4 : 1;
  return line.slice(at);
}

// Tables

function isTable(lines, at) {
  if (!lines[at].includes("|") || !/^[\s|:-]+$/.test(lines[at + 1] ?? "")) return false;
  const sides = cellsOf(lines[at + 1]);
  const isRuled = sides.length <= MOST_COLUMNS && sides.every((side) => /^:?-+:?$/.test(side));
  return isRuled && sides.length === cellsOf(lines[at]).length;
}

function readTable(lines, at, budget) {
  if (!isTable(lines, at)) return null;
  const sides = cellsOf(lines[at + 1]).map((side) => (side.endsWith(":") ? (side.startsWith(":") ? ".center" : ".end") : ""));
  const row = (line, name) => {
    const cells = cellsOf(line);
    budget.left -= sides.length;
    // An empty cell heads nothing.
    return element("tr", sides.map((side, index) =>
      element((cells[index] ? name : "td") + side, inline(cells[index] ?? "", budget))));
  };
  const head = element("thead", row(lines[at], "th"));
  const body = element("tbody");
  const next = endFrom(at + 2, lines, (line) => {
    if (!line.includes("|") || budget.left <= 0) return true;
    body.append(row(line, "td"));
    return false;
  });
  const frame = element("div.table", element("table", head, body));
  // It may be wider than the screen, and is scrolled by keys, too.
  Object.assign(frame, { tabIndex: 0, role: "group", ariaLabel: "Table" });
  return { made: frame, next };
}

function cellsOf(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}
