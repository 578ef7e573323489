import type { IClientOptions, MqttClient } from "mqtt";

/** What both controls set, and the agent too. */
export function options(): IClientOptions {
  const {
    MQTT_DEVICE: clientId = "",
    MQTT_USERNAME: username = "",
    MQTT_PASSWORD: password = "",
  } = process.env;
  return {
    clientId,
    username,
    password,
    clean: false,
    keepalive: 180,
    protocolVersion: 4,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    writeCache: false,
    timerVariant: "native",
  };
}

/** Gets the twin once, and sends every desired change back as reported, until SIGTERM. Says on stdout what it has reached. */
export function followTwin(client: MqttClient): void {
  client.on("connect", () => {
    client.subscribe(["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"], { qos: 1 }, () => {
      client.publish("$iothub/twin/GET/?$rid=1", "", { qos: 1 });
    });
  });
  client.on("message", (topic, payload) => {
    if (topic.startsWith("$iothub/twin/res/200/")) {
      JSON.parse(payload.toString());
      process.stdout.write("twin received\n");
    } else if (topic.startsWith("$iothub/twin/res/204/")) process.stdout.write("acknowledged\n");
    else {
      const reported = payload.toString().replace("$version", "seen");
      client.publish("$iothub/twin/PATCH/properties/reported/?$rid=2", reported, { qos: 1 });
    }
  });
  process.on("SIGTERM", () => {
    // The other side may cut the line as soon as it has read the DISCONNECT.
    client.on("error", () => {});
    client.end(false, {}, () => {
      process.exit(0);
    });
  });
}
