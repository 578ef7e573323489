import type { Channel, DeviceLine } from "./hub-channel.ts";
import { hubErrorBody } from "./hub-error-body.ts";
import { parseJson, type JsonObject } from "./json.ts";
import { renderTwin } from "./twin.ts";

const answers = "$iothub/twin/res/#";
const desiredPatches = "$iothub/twin/PATCH/properties/desired/#";
const getTopic = /^\$iothub\/twin\/GET\/\?\$rid=([^&]+)$/;
const patchTopic = /^\$iothub\/twin\/PATCH\/properties\/reported\/\?\$rid=([^&]+)$/;

interface TwinChannel extends Channel {
  push(patch: JsonObject, version: number): void;
}

/** Twin GET, reported patches and desired pushes. */
export function createTwinChannel({ hub, journal, clock, line }: DeviceLine): TwinChannel {
  const { clientId } = line;
  const seen = { endpoint: hub.name, clientId };

  function refuse(rid: string, errorCode: 400004 | 429001, because: string): void {
    const body = JSON.stringify(hubErrorBody(errorCode, because, clock.now()));
    line.send(answers, `$iothub/twin/res/${Math.floor(errorCode / 1000)}/?$rid=${rid}`, body);
  }

  function answerGet(rid: string): void {
    if (!hub.throttle.takesTwinRead()) {
      journal.record({ ...seen, kind: "twin-get", status: 429 });
      refuse(rid, 429_001, "too many twin reads");
      return;
    }
    journal.record({ ...seen, kind: "twin-get", status: 200 });
    line.send(answers, `$iothub/twin/res/200/?$rid=${rid}`, renderTwin(hub.device(clientId).twin));
  }

  function answerPatch(rid: string, body: string): void {
    if (!hub.throttle.takesTwinUpdate()) {
      const because = "too many twin updates";
      journal.record({ ...seen, kind: "twin-patch", status: 429, because, body });
      refuse(rid, 429_001, because);
      return;
    }
    const result = hub.patchReported(clientId, parseJson(body));
    if (result.status === "rejected") {
      journal.record({ ...seen, kind: "twin-patch", status: 400, because: result.because, body });
      refuse(rid, 400_004, result.because);
      return;
    }
    const { version } = result.section;
    journal.record({ ...seen, kind: "twin-patch", status: 204, version, body });
    line.send(answers, `$iothub/twin/res/204/?$rid=${rid}&$version=${version}`, "");
  }

  return {
    filters: [answers, desiredPatches],
    acceptsTopic: (topic) => getTopic.test(topic) || patchTopic.test(topic),
    received({ topic, payload }) {
      const getId = getTopic.exec(topic)?.[1];
      const patchId = patchTopic.exec(topic)?.[1];
      if (getId !== undefined) answerGet(getId);
      else if (patchId !== undefined) answerPatch(patchId, payload.toString());
    },
    push(patch, version) {
      const body = JSON.stringify({ ...patch, $version: version });
      const topic = `$iothub/twin/PATCH/properties/desired/?$version=${version}`;
      if (line.send(desiredPatches, topic, body)) {
        journal.record({ ...seen, kind: "desired-push", version, patch });
      }
    },
  };
}
