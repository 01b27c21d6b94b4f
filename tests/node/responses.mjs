// Responses with OpenAI's SDK for Node: base URL and key from the environment, nothing else changed.
// Reads {"prompt": ...} from stdin; prints one JSON object.
import OpenAI from "openai";
import { readFileSync } from "node:fs";

const { prompt } = JSON.parse(readFileSync(0, "utf8"));
const client = new OpenAI();
const model = "Qwen/Qwen3-0.6B";
const tools = [
  {
    type: "function",
    name: "get_weather",
    strict: true,
    parameters: {
      type: "object",
      properties: { location: { type: "string" } },
      required: ["location"],
      additionalProperties: false,
    },
  },
];

async function failure(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code, param: error.param };
  }
}

const whole = await client.responses.create({ model, input: prompt });
let deltas = "";
const numbers = [];
for await (const event of await client.responses.create({ model, input: prompt, stream: true })) {
  numbers.push(event.sequence_number);
  if (event.type === "response.output_text.delta") deltas += event.delta;
}
const helper = await client.responses.stream({ model, input: prompt }).finalResponse();
const input = [{ role: "user", content: prompt }];
const called = await client.responses.stream({ model, input, tools }).finalResponse();
const [call] = called.output;
input.push(...called.output, { type: "function_call_output", call_id: call.call_id, output: "rain" });
const answered = await client.responses.create({ model, input, tools });
const format = { type: "json_schema", name: "person", schema: { type: "object" } };
const parsed = await client.responses.parse({ model, input: '{"name":"Zoë"}', text: { format } });

console.log(
  JSON.stringify({
    whole: whole.output_text,
    deltas,
    numbered: numbers.every((number, place) => number === place),
    helper: helper.output_text,
    status: helper.status,
    call: [call.type, call.name, Object.keys(JSON.parse(call.arguments))],
    answered: answered.output_text,
    parsed: JSON.parse(parsed.output_text),
    bad_request: await failure(client.responses.create({ model, input: [{ role: "user", content: [{ type: "x" }] }] })),
    retrieved: await failure(client.responses.retrieve("resp_1")),
  }),
);
