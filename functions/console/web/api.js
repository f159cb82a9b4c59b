// Calls of the gateway. The key lives in a closure here and nowhere else.

/** A call that failed. kind: key, consumer, state, request or gone. */
export class CallError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

const patience = 10_000; // milliseconds

/** Opens a session with an admin key. Nothing is called yet. */
export function open(key) {
  // A browser refuses to send a header that is not Latin-1, and no key is.
  const usable = /^[\x21-\x7e]+$/.test(key);
  async function call(path) {
    if (!usable) throw new CallError("key", "This is not a key: it has a space or a letter that no key has.");
    let answer;
    try {
      answer = await fetch(path, {
        headers: { "api-key": key }, cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer",
        signal: AbortSignal.timeout(patience),
      });
    } catch {
      throw new CallError("gone", "The gateway does not answer.");
    }
    if (answer.ok) return answer;
    const message = await answer.json().then((body) => String(body.error.message), () => "");
    switch (answer.status) {
      case 401: throw new CallError("key", "The gateway does not know this key. Admin keys are those under admin.keys in gateway.yaml.");
      case 403: throw new CallError("consumer", "This is the key of a consumer. The console needs an admin key, as admin.keys in gateway.yaml has them.");
      case 400: throw new CallError("request", message || "The gateway does not understand the question. Load the page again.");
      case 503: throw new CallError("state", message || "The gateway cannot answer this now.");
      default: throw new CallError("gone", `The gateway answered with status ${answer.status}. ${message}`.trim());
    }
  }
  async function json(path) {
    const answer = await call(path);
    try {
      return await answer.json();
    } catch {
      throw new CallError("gone", "The gateway's answer was cut.");
    }
  }
  const usagePath = (query) => `usage?${new URLSearchParams(query)}`;
  return {
    status: (since) => json(since ? `status?since=${since}` : "status"),
    usage: (query) => json(usagePath(query)),
    async usageFile(query) {
      const answer = await call(usagePath({ ...query, format: "csv" }));
      const named = /filename="([\w.-]+)"/.exec(answer.headers.get("Content-Disposition") ?? "");
      return { name: named ? named[1] : "usage.csv", content: await answer.blob() };
    },
  };
}
