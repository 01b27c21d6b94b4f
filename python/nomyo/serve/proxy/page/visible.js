// Characters that steer how a text is shown: another order than it has (UAX #9; "Trojan Source"), or none at all.

const FLAG = /(\u{1f3f4}[\u{e0030}-\u{e0039}\u{e0061}-\u{e007a}]{3,6}\u{e007f})/u; // UTS #51, ED-14a
const NEEDED = /[\xad\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u200b-\u200d\u{110bd}\u{110cd}\u{13430}-\u{1343f}]/u;
const FORMATS = new RegExp(`${FLAG.source}|(?!${NEEDED.source})[\\p{Cf}\\u2028\\u2029]`, "gu");

/**
 * Return a text with escapes for its format characters, as `nomyo chat` shows them in a terminal. What languages and
 * emoji need stays: joiners, break opportunities, soft hyphens, marks around numbers, the tags in flags.
 */
export function visible(text) {
  return text.replaceAll(FORMATS, (found, flag) => flag ?? `\\u{${found.codePointAt(0).toString(16)}}`);
}
