import { createServer } from "node:http";

interface Reply {
  readonly status?: number;
  readonly body: string;
}

/** A custom allocation function as a test wants it. */
export interface TestWebhook extends AsyncDisposable {
  readonly url: string;
  /** What it was sent, parsed. */
  readonly requests: readonly unknown[];
  /** What it answers from now on; a promise keeps the caller waiting. */
  answer(reply: Reply | Promise<Reply>): void;
}

export async function startWebhook(): Promise<TestWebhook> {
  const requests: unknown[] = [];
  let reply: Reply | Promise<Reply> = { body: "{}" };
  const server = createServer((request, response) => {
    const answer = async (): Promise<void> => {
      let text = "";
      for await (const chunk of request.setEncoding("utf8")) text += String(chunk);
      requests.push(JSON.parse(text));
      const { status = 200, body } = await reply;
      response.writeHead(status, { "content-type": "application/json" }).end(body);
    };
    void answer();
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/api/allocate`,
    requests,
    answer(next) {
      reply = next;
    },
    async [Symbol.asyncDispose]() {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeAllConnections();
      await closed.promise;
    },
  };
}
