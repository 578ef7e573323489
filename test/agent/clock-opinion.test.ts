import { expect, test } from "vitest";
import { clockOpinion } from "../../src/agent/clock-opinion.ts";

const builtAtMs = Date.UTC(2026, 10, 22);
const storedAtMs = Date.UTC(2027, 2, 1);
const on = (year: number, month = 0, date = 1) => Date.UTC(year, month, date);

const wrong = [
  {
    name: "before the software was built, whatever the kernel says",
    facts: { builtAtMs, nowMs: on(1970), isSynchronised: true },
    opinion: { status: "wrong", because: "but this software was built on 2026-11-22" },
  },
  {
    name: "before this device stored something",
    facts: { builtAtMs, storedAtMs, nowMs: on(2027), isSynchronised: false },
    opinion: { status: "wrong", because: "but this device stored its state on 2027-03-01" },
  },
  {
    name: "not synchronised, and soon after what is known",
    facts: { builtAtMs, storedAtMs, nowMs: on(2027, 2, 2), isSynchronised: false },
    opinion: { status: "doubtful", because: "and it is not synchronised" },
  },
  {
    name: "not synchronised, and long after what is known",
    facts: { builtAtMs, storedAtMs, nowMs: on(2032, 2, 1), isSynchronised: false },
    opinion: {
      status: "doubtful",
      because: "and it is not synchronised, 5 years after anything that this device knows of",
    },
  },
  {
    name: "nobody knows of synchronisation, and a year after what is known",
    facts: { builtAtMs, storedAtMs, nowMs: on(2028, 3, 1), isSynchronised: undefined },
    opinion: { status: "doubtful", because: "a year after anything that this device knows of" },
  },
];

test.for(wrong)("a clock is not believed: $name", ({ facts, opinion }) => {
  expect(clockOpinion(facts)).toEqual(opinion);
});

const right = [
  { name: "synchronised", facts: { builtAtMs, nowMs: on(2036), isSynchronised: true } },
  {
    name: "synchronised, though a clock that ran ahead once dated the state",
    facts: { builtAtMs, storedAtMs: on(2036), nowMs: on(2027), isSynchronised: true },
  },
  {
    name: "nobody knows of synchronisation, and it fits what is known",
    facts: { builtAtMs, storedAtMs, nowMs: on(2027, 5), isSynchronised: undefined },
  },
  {
    name: "a few hours before the build, as in another time zone",
    facts: { builtAtMs, nowMs: builtAtMs - 12 * 60 * 60_000, isSynchronised: undefined },
  },
];

test.for(right)("a clock is believed: $name", ({ facts }) => {
  expect(clockOpinion(facts)).toEqual({
    status: "trusted",
    isSynchronised: facts.isSynchronised === true,
  });
});
