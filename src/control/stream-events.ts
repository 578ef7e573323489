import type { ServerResponse } from "node:http";
import type { EventFeed } from "../platform/event-feed.ts";
import type { ControlledAgent } from "./controlled-agent.ts";
import { serverLimits } from "./server-limits.ts";
import { statusOf } from "./status.ts";

/**
 * Writes the agent's events as they happen, one JSON a line: those of its log, and `agent.status` with the sentence at the beginning and
 * whenever it changes. A reader that falls behind is closed.
 * @returns how to stop.
 */
export function streamEvents(response: ServerResponse, agent: ControlledAgent, feed: EventFeed): () => void {
  const status = () =>
    `${JSON.stringify({ level: "notice", event: "agent.status", says: statusOf(agent)["says"] ?? "" })}\n`;
  let last = status();
  response.writeHead(200, { "content-type": "application/x-ndjson", "cache-control": "no-store" });
  // It has gone: told by "close".
  response.on("error", () => {});
  const write = (line: string) => {
    response.write(line);
    if (response.writableLength > serverLimits.streamBytes) response.destroy();
  };
  const tellStatus = () => {
    const line = status();
    if (line !== last) write(line);
    last = line;
  };
  write(last);
  const stops = [feed.listen(write), agent.desk.watchHealth(tellStatus)];
  return () => {
    for (const stop of stops) stop();
  };
}
