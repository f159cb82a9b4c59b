"""Makes the list of calls with the official client, sync or async, and prints what came of each as a line of JSON."""

import asyncio
import hashlib
import inspect
import json
import os
from pathlib import Path

import openai

MODE, CONSTRUCTOR, URL, KEY = (os.environ[name] for name in ("MODE", "CONSTRUCTOR", "BASE_URL", "API_KEY"))
SAMPLES = Path(os.environ["SAMPLES"])
PLAIN, AZURE, WEB = {
    "sync": (openai.OpenAI, openai.AzureOpenAI, openai.DefaultHttpxClient),
    "async": (openai.AsyncOpenAI, openai.AsyncAzureOpenAI, openai.DefaultAsyncHttpxClient),
}[MODE]

answers = []  # of the call that is being made


def note(response):
    answers.append({"status": response.status_code, "header": dict(response.headers)})


async def note_async(response):
    note(response)


def client(key=KEY):
    web = WEB(event_hooks={"response": [note if MODE == "sync" else note_async]})
    if CONSTRUCTOR == "azure":
        return AZURE(azure_endpoint=URL, api_version=os.environ["API_VERSION"], api_key=key, http_client=web)
    return PLAIN(base_url=URL + {"openai": "/v1", "azure-v1": "/openai/v1"}[CONSTRUCTOR], api_key=key, http_client=web)


def plain(value):
    """What the client has parsed, as JSON."""
    if isinstance(value, openai.BaseModel):
        return value.to_dict(mode="json")
    if hasattr(value, "content"):
        return {"bytes": len(value.content), "sha256": hashlib.sha256(value.content).hexdigest()}
    return value


async def one(value):
    return plain(await value if inspect.isawaitable(value) else value)


async def every(values):
    """The events of a stream, or the items of all pages."""
    if not hasattr(values, "__aiter__") and inspect.isawaitable(values):
        values = await values
    if hasattr(values, "__aiter__"):
        return [plain(value) async for value in values]
    return [plain(value) for value in values]


CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "How does a weir keep its level?"}]}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TOOLS = CHAT | {"tools": [WEATHER], "tool_choice": "required"}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
TEXT = {"model": "gpt-35-turbo-instruct", "prompt": "A weir keeps", "max_tokens": 20}
VECTOR = {"model": "text-embedding-3-small", "dimensions": 8, "encoding_format": "float"}
ANSWER = {"model": "gpt-4o", "input": "How does a weir keep its level?"}
SPOKEN = {"model": "gpt-4o-transcribe"}


def picture():
    return ("weir.png", (SAMPLES / "weir.png").read_bytes(), "image/png")


def voice():
    return ("voice.wav", (SAMPLES / "voice.wav").read_bytes(), "audio/wav")


async def background(c, kept):
    response = await one(c.responses.create(**ANSWER, background=True))
    while response["status"] in ("queued", "in_progress"):
        del answers[:]  # how often one has to ask is a matter of time
        await asyncio.sleep(0.02)
        response = await one(c.responses.retrieve(response["id"]))
    return response


async def canceled(c, kept):
    response = await one(c.responses.create(**ANSWER, background=True))
    return await one(c.responses.cancel(response["id"]))


def keep(name, call):
    """The call, and the id of what it makes under a name for later calls."""

    async def keeping(c, kept):
        result = await call(c, kept)
        kept[name] = result["id"]
        return result

    return keeping


CALLS = {
    "chat": lambda c, kept: one(c.chat.completions.create(**CHAT)),
    "chat, streamed": lambda c, kept: every(c.chat.completions.create(**CHAT, **USAGE)),
    "chat, streamed, usage not asked for": lambda c, kept: every(c.chat.completions.create(**CHAT, stream=True)),
    "tools": lambda c, kept: one(c.chat.completions.create(**TOOLS)),
    "tools, streamed": lambda c, kept: every(c.chat.completions.create(**TOOLS, **USAGE)),
    "completion": lambda c, kept: one(c.completions.create(**TEXT)),
    "completion, streamed": lambda c, kept: every(c.completions.create(**TEXT, **USAGE)),
    "embedding of a text": lambda c, kept: one(c.embeddings.create(**VECTOR, input="water")),
    "embeddings of texts": lambda c, kept: one(c.embeddings.create(**VECTOR, input=["water", "weir", "gate"])),
    "embedding of tokens": lambda c, kept: one(c.embeddings.create(**VECTOR, input=[5, 6, 7])),
    "embeddings of lists of tokens": lambda c, kept: one(c.embeddings.create(**VECTOR, input=[[5, 6], [7]])),
    "embedding as base64": lambda c, kept: one(c.embeddings.create(**VECTOR | {"encoding_format": "base64"}, input="water")),
    "response": keep("response", lambda c, kept: one(c.responses.create(**ANSWER))),
    "response, streamed": lambda c, kept: every(c.responses.create(**ANSWER, stream=True)),
    "response, continued": lambda c, kept: one(c.responses.create(**ANSWER, previous_response_id=kept["response"])),
    "response, retrieved": lambda c, kept: one(c.responses.retrieve(kept["response"])),
    "response, retrieved as a stream": lambda c, kept: every(c.responses.retrieve(kept["response"], stream=True)),
    "response, its input items": lambda c, kept: every(c.responses.input_items.list(kept["response"])),
    "response, deleted": lambda c, kept: one(c.responses.delete(kept["response"])),
    "response, retrieved in vain": lambda c, kept: one(c.responses.retrieve(kept["response"])),
    "image": lambda c, kept: one(c.images.generate(model="gpt-image-1", prompt="a weir", size="1024x1024")),
    "image, streamed": lambda c, kept: every(
        c.images.generate(model="gpt-image-1", prompt="a weir", stream=True, partial_images=1)
    ),
    "image, edited": lambda c, kept: one(c.images.edit(model="gpt-image-1", prompt="more water", image=picture())),
    "image, varied": lambda c, kept: one(c.images.create_variation(model="gpt-image-1", image=picture())),
    "speech": lambda c, kept: one(c.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="Mind the weir.")),
    "transcription": lambda c, kept: one(c.audio.transcriptions.create(**SPOKEN, file=voice())),
    "transcription, streamed": lambda c, kept: every(c.audio.transcriptions.create(**SPOKEN, file=voice(), stream=True)),
    "transcription as text": lambda c, kept: one(c.audio.transcriptions.create(model="whisper", file=voice(), response_format="text")),
    "translation": lambda c, kept: one(c.audio.translations.create(model="whisper", file=voice())),
    "moderation": lambda c, kept: one(c.moderations.create(model="omni-moderation", input="I love weirs.")),
    "file": keep(
        "file",
        lambda c, kept: one(c.files.create(file=("batch.jsonl", (SAMPLES / "batch.jsonl").read_bytes()), purpose="batch")),
    ),
    "files": lambda c, kept: every(c.files.list()),
    "file, retrieved": lambda c, kept: one(c.files.retrieve(kept["file"])),
    "file, its content": lambda c, kept: one(c.files.content(kept["file"])),
    "batch": keep(
        "batch",
        lambda c, kept: one(
            c.batches.create(input_file_id=kept["file"], endpoint="/v1/chat/completions", completion_window="24h")
        ),
    ),
    "batch, retrieved": lambda c, kept: one(c.batches.retrieve(kept["batch"])),
    "batches": lambda c, kept: every(c.batches.list()),
    "batch, canceled": lambda c, kept: one(c.batches.cancel(kept["batch"])),
    "file, deleted": lambda c, kept: one(c.files.delete(kept["file"])),
    "response in the background": background,
    "response, canceled": canceled,
    "filtered prompt": lambda c, kept: one(
        c.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "forbidden-word"}])
    ),
    "bad parameter": lambda c, kept: one(c.chat.completions.create(**CHAT, temperature=9)),
    "models": lambda c, kept: every(c.models.list()),
    "model": lambda c, kept: one(c.models.retrieve("gpt-4o")),
    "unknown model": lambda c, kept: one(c.chat.completions.create(**CHAT | {"model": "gpt-0"})),
    "bad key": lambda c, kept: one(client(key="not-a-key-of-anybody").chat.completions.create(**CHAT)),
}


async def outcome(call, c, kept):
    try:
        return {"result": await call(c, kept)}
    except openai.APIError as e:
        error = {"class": type(e).__name__, "message": e.message, "code": e.code, "type": e.type, "param": e.param}
        if isinstance(e, openai.APIStatusError):
            error |= {"status": e.status_code, "body": e.body}
        return {"error": error}
    except Exception as e:  # nothing that the client promises to raise
        return {"error": {"class": type(e).__name__, "message": str(e)}}


async def main():
    c, kept = client(), {}
    for name in json.loads(os.environ["CALLS"]):
        del answers[:]
        came = await outcome(CALLS[name], c, kept)
        print(json.dumps({"call": name, "answers": answers} | came), flush=True)


asyncio.run(main())
