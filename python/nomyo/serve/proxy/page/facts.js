// What an answer says of itself: anything, of any size.

import { disclosure, element } from "./elements.js";

const MOST_FACTS = 200;
const LONGEST_FACT = 500;

/** Return the facts in a line, and all metadata behind a disclosure. */
export function factsOf(completion, seconds) {
  const meta = completion._metadata ?? {};
  const sealed = meta.is_encrypted === true ? "both ways" : "not known";
  const facts = [
    ["Sealed", sealed, meta.is_encrypted !== true],
    ["Time", `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`],
    ["Tokens", tokensIn(completion.usage)],
    ["Tier", meta.security_tier],
    ["TPM", meta.attestation?.verdict],
    ["Payload", meta.payload_id],
  ];
  const { id, created, model, usage } = completion;
  const head = { id, created, model, usage };
  const all = [
    ...flat(head, ""),
    ["finish reason", completion.choices[0].finish_reason],
    ...flat(meta, ""),
  ];
  return [factList("dl.facts", facts), disclosure("All metadata", factList("dl.facts.all", all.slice(0, MOST_FACTS)))];
}

function factList(name, facts) {
  const known = facts.filter(([, value]) => value !== undefined && value !== null);
  const rows = known.map(([name, value, weak]) =>
    element(weak ? "div.weak" : "div", element("dt", name), element("dd", wordFor(value))));
  return element(name, rows);
}

/** Return how many tokens went in and came out; null for what can be no count. */
export function countsOf(usage) {
  return [usage?.prompt_tokens, usage?.completion_tokens].map(countOf);
}

const countOf = (value) => (Number.isSafeInteger(value) && value >= 0 ? value : null);

function tokensIn(usage) {
  const [asked, told] = countsOf(usage);
  return asked === null && told === null ? null : `${asked ?? "unknown"} in, ${told ?? "unknown"} out`;
}

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
export function wordFor(value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  return shortened(typeof value === "object" ? JSON.stringify(value) : String(value));
}

const shortened = (text) => (text.length > LONGEST_FACT ? `${text.slice(0, LONGEST_FACT)}…` : text);
