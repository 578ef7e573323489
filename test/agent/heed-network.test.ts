import { setImmediate as turn } from "node:timers/promises";
import { beforeEach, expect, test } from "vitest";
import { heedNetwork } from "../../src/agent/heed-network.ts";
import { Inputs } from "../../src/agent/inputs.ts";
import { ManualClock } from "../manual-clock.ts";
import { RecordingLog } from "../platform/recording-log.ts";

const never = new AbortController().signal;
const event = { kind: "resumed", because: "the machine slept for 3600 s" } as const;

class FakeLine {
  isAlive = false;
  isBusy = false;
  readonly abandoned: string[] = [];
  abandon(because: string): void {
    this.abandoned.push(because);
  }
  async probe(): Promise<boolean> {
    return this.isAlive;
  }
}

let line: FakeLine;
let clock: ManualClock;
let inputs: Inputs;
let recording: RecordingLog;
beforeEach(() => {
  line = new FakeLine();
  clock = new ManualClock();
  inputs = new Inputs(clock);
  recording = new RecordingLog();
});

/** @returns what the journey is told. */
async function heed(): Promise<unknown> {
  const heeding = heedNetwork(event, line, { clock, random: () => 0.5, log: recording.log, inputs }, never);
  await turn();
  clock.advance(2_500);
  await heeding;
  const told = inputs.within(1, ["resumed", "network-changed"], never);
  await turn();
  clock.advance(1);
  return told;
}

test("row 10: who slept and has no line gives up old attempts, and tells the journey after up to 5 s", async () => {
  expect(await heed()).toEqual(event);
  expect(line.abandoned).toEqual(["the machine slept for 3600 s"]);
  expect(clock.asked[0]).toBe(2_500);
  expect(recording.names()).toEqual(["agent.resumed"]);
});

test("row 10: a line that answers stays", async () => {
  line.isAlive = true;
  expect(await heed()).toBeUndefined();
});

test("row 10: a journey that is back already, or at it, is not disturbed", async () => {
  line.isBusy = true;
  expect(await heed()).toBeUndefined();
});
