// What a program that uses OpenAI's SDK for Node gets: base URL and key from the environment, nothing else changed.
// Reads {"prompt": ...} from stdin; prints one JSON object.
import OpenAI from "openai";
import { readFileSync } from "node:fs";

const { prompt } = JSON.parse(readFileSync(0, "utf8"));
const client = new OpenAI();
const model = "Qwen/Qwen3-0.6B";
const messages = [{ role: "user", content: prompt }];
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      parameters: { type: "object", properties: { location: { type: "string" } }, required: ["location"] },
    },
  },
];

async function joined(stream) {
  let content = "";
  let usage = null;
  for await (const chunk of stream) {
    content += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  return { content, usage };
}

async function failure(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code, type: error.type };
  }
}

const whole = await client.chat.completions.create({ model, messages }, { headers: { "X-Security-Tier": "high" } });
const streamed = await joined(
  await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } }),
);
const helper = await client.chat.completions.stream({ model, messages, n: 2 }).finalChatCompletion();
const called = await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
const parallel = await Promise.all(
  Array.from({ length: 8 }, (_, i) =>
    client.chat.completions.create({ model, messages: [{ role: "user", content: `number ${i}` }] }),
  ),
);
const models = [];
for await (const listed of client.models.list()) models.push(listed.id);

console.log(
  JSON.stringify({
    whole: whole.choices[0].message.content,
    tier: whole._metadata.security_tier,
    streamed: streamed.content,
    total_tokens: streamed.usage.total_tokens,
    helper: helper.choices.map((choice) => [choice.index, choice.message.role, choice.message.content, choice.finish_reason]),
    called: called.choices[0].message.tool_calls.map((call) => [call.type, call.function.name, JSON.parse(call.function.arguments)]),
    finish_reason: called.choices[0].finish_reason,
    parallel: parallel.map((answer) => answer.choices[0].message.content),
    models,
    model: (await client.models.retrieve(model)).id,
    wrong_token: await failure(new OpenAI({ apiKey: "wrong" }).chat.completions.create({ model, messages })),
    bad_request: await failure(client.chat.completions.create({ model, messages: [] })),
    embeddings: await failure(client.embeddings.create({ model, input: "never sent on" })),
  }),
);
