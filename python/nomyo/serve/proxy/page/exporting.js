// Writes the conversation into a file, if the user asks for it: the only thing that the page has the browser store.

import { transcript } from "./conversation.js";
import { element } from "./elements.js";
import { chosen } from "./settings.js";
import { visible } from "./visible.js";

const KEPT_MS = 60_000; // some browsers read the file only after the user said where to put it

export function exportConversation() {
  const url = URL.createObjectURL(new Blob([visible(written())], { type: "text/markdown;charset=utf-8" }));
  const link = element("a");
  Object.assign(link, { href: url, download: "conversation.md" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}

function written() {
  const first = chosen().first.map(({ content }) => section("Instructions", content));
  const turns = transcript().flatMap(({ question, images, reply, model }) => [
    section("You", [question, ...images.map(() => "(An image that is not in this file.)")].filter(Boolean).join("\n\n")),
    section(model ?? "No answer", reply ?? "(This question was not answered.)"),
  ]);
  return ["# Conversation\n", ...first, ...turns].join("\n");
}

const section = (name, text) => `## ${name}\n\n${text}\n`;
