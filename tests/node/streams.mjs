// Asks for each answer twice, whole and as a stream that the SDK puts together again; prints the pairs as JSON.
// Reads {"count": ...} from stdin.
import OpenAI from "openai";
import { readFileSync } from "node:fs";

const { count } = JSON.parse(readFileSync(0, "utf8"));
const client = new OpenAI();
const asked = { model: "m", messages: [{ role: "user", content: "Hello" }] };
const told = [];
for (let i = 0; i < count; i += 1) {
  const whole = await client.chat.completions.create(asked);
  const stream = client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
  told.push([whole, await stream.finalChatCompletion()]);
}
console.log(JSON.stringify(told));
