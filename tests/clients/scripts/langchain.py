"""Asks by LangChain, plainly and in a stream, by chat and by responses, and prints what came of each as a line of JSON."""

import json
import os

from langchain_openai import AzureChatOpenAI, ChatOpenAI

URL, KEY = os.environ["BASE_URL"], os.environ["API_KEY"]
QUESTION = "How does a weir keep its level?"


def parts(message):
    return {"text": message.text, "usage": message.usage_metadata, "answer": message.response_metadata}


def ask(name, model):
    print(json.dumps({"call": name, "result": parts(model.invoke(QUESTION))}))
    print(json.dumps({"call": name + ", streamed", "result": [parts(chunk) for chunk in model.stream(QUESTION)]}))


if os.environ["CONSTRUCTOR"] == "azure":
    version = os.environ["API_VERSION"]
    ask("chat", AzureChatOpenAI(azure_endpoint=URL, api_version=version, azure_deployment="gpt-4o", api_key=KEY))
else:
    ask("chat", ChatOpenAI(base_url=URL + "/v1", model="gpt-4o", api_key=KEY))
    ask("response", ChatOpenAI(base_url=URL + "/v1", model="gpt-4o", api_key=KEY, use_responses_api=True))
