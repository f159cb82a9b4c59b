// Asks by the Vercel AI SDK, plainly and in a stream, by each of its two ways, and prints what came of each as a
// line of JSON.
import { createAzure } from "@ai-sdk/azure";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, streamText } from "ai";

const { CONSTRUCTOR, BASE_URL, API_KEY: apiKey, API_VERSION: apiVersion } = process.env;

const provider = {
  openai: () => createOpenAI({ baseURL: BASE_URL + "/v1", apiKey }),
  "azure-v1": () => createAzure({ baseURL: BASE_URL + "/openai/v1", apiKey }),
  azure: () => createAzure({ baseURL: BASE_URL + "/openai", apiKey, apiVersion, useDeploymentBasedUrls: true }),
}[CONSTRUCTOR]();
const prompt = "How does a weir keep its level?";

const print = (call, text, usage) => console.log(JSON.stringify({ call, result: { text, usage } }));

async function ask(name, model) {
  const whole = await generateText({ model, prompt });
  print(name, whole.text, whole.usage);
  const streamed = streamText({ model, prompt });
  const parts = [];
  for await (const part of streamed.textStream) parts.push(part);
  print(name + ", streamed", parts, await streamed.usage);
}

await ask("chat", provider.chat("gpt-4o"));
if (CONSTRUCTOR !== "azure") await ask("response", provider.responses("gpt-4o"));
