// Shows an answer: what the model said, and what is to know of it.

import { copyButton } from "./copying.js";
import { disclosure, element } from "./elements.js";
import { factsOf, wordFor } from "./facts.js";
import { markdown } from "./markdown.js";
import { Failure } from "./server.js";

/**
 * Return the text of an answer, and the elements that show it.
 * @throws {Failure} if it is no answer
 */
export function answerOf(completion, seconds) {
  const choice = completion.choices?.[0];
  if (!choice?.message) throw new Failure(502);
  const { content, reasoning_content: reasoning } = choice.message;
  const reply = textOf(content);
  const parts = [element("h2", wordFor(completion.model ?? "Answer"))];
  if (textOf(reasoning)) parts.push(disclosure("Reasoning", element("div.text", textOf(reasoning))));
  parts.push(element("div.text", markdown(reply)));
  const remark = remarkOn(choice, reply);
  if (remark) parts.push(element("p.remark", remark));
  return { reply, parts: [...parts, ...factsOf(completion, seconds)], copy: copyButton("Copy answer", () => reply) };
}

/** Some models answer with a list of parts. */
function textOf(content) {
  if (!Array.isArray(content)) return typeof content === "string" ? content : "";
  return content.map((part) => (typeof part?.text === "string" ? part.text : "")).join("");
}

function remarkOn({ finish_reason: reason }, reply) {
  if (reason === "length") return "The answer was cut off at the longest that the model may give.";
  if (reason === "content_filter") return "A filter at the model left something out.";
  return reply ? "" : "The model answered without text.";
}
