import { isJsonObject, type Json } from "../platform/json.ts";

const maxKeyBytes = 1024;
const maxTextBytes = 4 * 1024;
/** What the hub counts with: 52 bits and a sign. */
const largestInteger = 4_503_599_627_370_495;
const smallestInteger = -4_503_599_627_370_496;

/**
 * What the hub would refuse about a value in reported properties, each with its path; at most ten.
 * @see https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-device-twins#tags-and-properties-format
 */
export function findTwinProblems(value: Json, path: string): readonly string[] {
  return problemsOf(value, path).slice(0, 10);
}

function problemsOf(value: Json, path: string): readonly string[] {
  if (typeof value === "string") return textProblems(value, path);
  if (typeof value === "number") return numberProblems(value, path);
  if (typeof value !== "object" || value === null) return [];
  if (!isJsonObject(value)) return value.flatMap((item, index) => problemsOf(item, `${path}[${index}]`));
  return Object.entries(value).flatMap(([key, member]) => {
    const problem = keyProblem(key);
    const name = `${path}.${key.slice(0, 64)}`;
    return problem === undefined ? problemsOf(member, name) : [`${name}: ${problem}`];
  });
}

function textProblems(text: string, path: string): readonly string[] {
  return Buffer.byteLength(text) > maxTextBytes ? [`${path}: a text longer than 4 KiB`] : [];
}

function numberProblems(number: number, path: string): readonly string[] {
  const isOutside = Number.isInteger(number) && (number > largestInteger || number < smallestInteger);
  return isOutside ? [`${path}: an integer beyond ${largestInteger}`] : [];
}

function keyProblem(key: string): string | undefined {
  if (key === "") return "a key without a name";
  if (Buffer.byteLength(key) > maxKeyBytes) return "a key longer than 1 KiB";
  return /[\p{Cc}.$ ]/u.test(key) ? "a key with a dot, $, space or control character" : undefined;
}
