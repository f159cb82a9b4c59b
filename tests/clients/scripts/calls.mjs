// Makes the list of calls with the official client and prints what came of each as a line of JSON.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import OpenAI, { APIError, AzureOpenAI, toFile } from "openai";

const { CONSTRUCTOR, BASE_URL, API_KEY, API_VERSION, SAMPLES } = process.env;

const answers = []; // of the call that is being made

async function noting(url, init) {
  const response = await fetch(url, init);
  answers.push({ status: response.status, header: Object.fromEntries(response.headers) });
  return response;
}

function client(apiKey = API_KEY, deployment) {
  if (CONSTRUCTOR === "azure") {
    return new AzureOpenAI({ endpoint: BASE_URL, apiVersion: API_VERSION, apiKey, deployment, fetch: noting });
  }
  const path = { openai: "/v1", "azure-v1": "/openai/v1" }[CONSTRUCTOR];
  return new OpenAI({ baseURL: BASE_URL + path, apiKey, fetch: noting });
}

const one = async (value) => await value;

// The events of a stream, or the items of all pages.
async function every(values) {
  const all = [];
  for await (const value of await values) all.push(value);
  return all;
}

async function content(response) {
  const bytes = Buffer.from(await (await response).arrayBuffer());
  return { bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
}

const sample = (name, type) => toFile(readFileSync(join(SAMPLES, name)), name, { type });

const chat = { model: "gpt-4o", messages: [{ role: "user", content: "How does a weir keep its level?" }] };
const weather = {
  type: "function",
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const tools = { ...chat, tools: [weather], tool_choice: "required" };
const usage = { stream: true, stream_options: { include_usage: true } };
const text = { model: "gpt-35-turbo-instruct", prompt: "A weir keeps", max_tokens: 20 };
const vector = { model: "text-embedding-3-small", dimensions: 8, encoding_format: "float" };
const answer = { model: "gpt-4o", input: "How does a weir keep its level?" };
const spoken = async () => ({ model: "gpt-4o-transcribe", file: await sample("voice.wav", "audio/wav") });

async function background(c) {
  let response = await c.responses.create({ ...answer, background: true });
  while (["queued", "in_progress"].includes(response.status)) {
    answers.length = 0; // how often one has to ask is a matter of time
    await pause(20);
    response = await c.responses.retrieve(response.id);
  }
  return response;
}

async function canceled(c) {
  const response = await c.responses.create({ ...answer, background: true });
  return c.responses.cancel(response.id);
}

// The call, and the id of what it makes under a name for later calls.
const keep = (name, call) => async (c, kept) => {
  const result = await call(c, kept);
  kept[name] = result.id;
  return result;
};

const calls = {
  chat: (c) => one(c.chat.completions.create(chat)),
  "chat, streamed": (c) => every(c.chat.completions.create({ ...chat, ...usage })),
  "chat, streamed, usage not asked for": (c) => every(c.chat.completions.create({ ...chat, stream: true })),
  tools: (c) => one(c.chat.completions.create(tools)),
  "tools, streamed": (c) => every(c.chat.completions.create({ ...tools, ...usage })),
  completion: (c) => one(c.completions.create(text)),
  "completion, streamed": (c) => every(c.completions.create({ ...text, ...usage })),
  "embedding of a text": (c) => one(c.embeddings.create({ ...vector, input: "water" })),
  "embeddings of texts": (c) => one(c.embeddings.create({ ...vector, input: ["water", "weir", "gate"] })),
  "embedding of tokens": (c) => one(c.embeddings.create({ ...vector, input: [5, 6, 7] })),
  "embeddings of lists of tokens": (c) => one(c.embeddings.create({ ...vector, input: [[5, 6], [7]] })),
  "embedding as base64": (c) => one(c.embeddings.create({ ...vector, encoding_format: "base64", input: "water" })),
  response: keep("response", (c) => one(c.responses.create(answer))),
  "response, streamed": (c) => every(c.responses.create({ ...answer, stream: true })),
  "response, continued": (c, kept) => one(c.responses.create({ ...answer, previous_response_id: kept.response })),
  "response, retrieved": (c, kept) => one(c.responses.retrieve(kept.response)),
  "response, retrieved as a stream": (c, kept) => every(c.responses.retrieve(kept.response, { stream: true })),
  "response, its input items": (c, kept) => every(c.responses.inputItems.list(kept.response)),
  "response, deleted": (c, kept) => one(c.responses.delete(kept.response)),
  "response, retrieved in vain": (c, kept) => one(c.responses.retrieve(kept.response)),
  image: (c) => one(c.images.generate({ model: "gpt-image-1", prompt: "a weir", size: "1024x1024" })),
  "image, streamed": (c) =>
    every(c.images.generate({ model: "gpt-image-1", prompt: "a weir", stream: true, partial_images: 1 })),
  // AzureOpenAI finds no deployment in this form: it has to be told.
  "image, edited": async () =>
    one(
      client(API_KEY, "gpt-image-1").images.edit({
        model: "gpt-image-1",
        prompt: "more water",
        image: await sample("weir.png", "image/png"),
      }),
    ),
  "image, varied": async (c) =>
    one(c.images.createVariation({ model: "gpt-image-1", image: await sample("weir.png", "image/png") })),
  speech: (c) => content(c.audio.speech.create({ model: "gpt-4o-mini-tts", voice: "alloy", input: "Mind the weir." })),
  transcription: async (c) => one(c.audio.transcriptions.create(await spoken())),
  "transcription, streamed": async (c) => every(c.audio.transcriptions.create({ ...(await spoken()), stream: true })),
  "transcription as text": async (c) =>
    one(c.audio.transcriptions.create({ ...(await spoken()), model: "whisper", response_format: "text" })),
  translation: async (c) => one(c.audio.translations.create({ ...(await spoken()), model: "whisper" })),
  moderation: (c) => one(c.moderations.create({ model: "omni-moderation", input: "I love weirs." })),
  file: keep("file", async (c) =>
    one(c.files.create({ file: await sample("batch.jsonl", "application/jsonl"), purpose: "batch" })),
  ),
  files: (c) => every(c.files.list()),
  "file, retrieved": (c, kept) => one(c.files.retrieve(kept.file)),
  "file, its content": (c, kept) => content(c.files.content(kept.file)),
  batch: keep("batch", (c, kept) =>
    one(c.batches.create({ input_file_id: kept.file, endpoint: "/v1/chat/completions", completion_window: "24h" })),
  ),
  "batch, retrieved": (c, kept) => one(c.batches.retrieve(kept.batch)),
  batches: (c) => every(c.batches.list()),
  "batch, canceled": (c, kept) => one(c.batches.cancel(kept.batch)),
  "file, deleted": (c, kept) => one(c.files.delete(kept.file)),
  "response in the background": background,
  "response, canceled": canceled,
  "filtered prompt": (c) =>
    one(c.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content: "forbidden-word" }] })),
  "bad parameter": (c) => one(c.chat.completions.create({ ...chat, temperature: 9 })),
  models: (c) => every(c.models.list()),
  model: (c) => one(c.models.retrieve("gpt-4o")),
  "unknown model": (c) => one(c.chat.completions.create({ ...chat, model: "gpt-0" })),
  "bad key": () => one(client("not-a-key-of-anybody").chat.completions.create(chat)),
};

async function outcome(call, c, kept) {
  try {
    return { result: await call(c, kept) };
  } catch (e) {
    const error = { class: e.constructor.name, message: e.message };
    if (e instanceof APIError) Object.assign(error, { status: e.status, code: e.code, type: e.type, param: e.param, body: e.error });
    return { error };
  }
}

const c = client();
const kept = {};
for (const name of JSON.parse(process.env.CALLS)) {
  answers.length = 0;
  const came = await outcome(calls[name], c, kept);
  console.log(JSON.stringify({ call: name, answers, ...came }));
}
