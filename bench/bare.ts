// The least that a client of this kind can be: the mqtt package's inner client on a TLS socket of our own, bundled with
// everything left out that the agent leaves out. It gets its twin, and sends each desired change back as reported.
import "../src/platform/no-buffer-pool.ts";
import { readFileSync } from "node:fs";
import { connect } from "node:tls";
import mqttClient from "mqtt/lib/client";
import { followTwin, options } from "./follow-twin.ts";

const { MQTT_HOST: host = "", MQTT_CA: ca = "" } = process.env;
const socket = connect({ host, port: 8883, ca: readFileSync(ca), minVersion: "TLSv1.2" });
socket.setNoDelay(true);
followTwin(new mqttClient.default(() => socket, options()));
