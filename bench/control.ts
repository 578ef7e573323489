// What a careful author of a small client would write: the mqtt package by its front door, without the table of prepared
// buffers, in one bundle. It gets its twin, and sends each desired change back as reported.
import { readFileSync } from "node:fs";
import { connect } from "mqtt";
import { followTwin, options } from "./follow-twin.ts";

const { MQTT_HOST: host = "", MQTT_CA: ca = "" } = process.env;
followTwin(connect({ ...options(), protocol: "mqtts", host, port: 8883, ca: readFileSync(ca) }));
