import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** How the folder of a running cloud begins, in the folder for temporary files; it is gone when the cloud has ended. */
export const cloudFolder = "latebind-cloud-";
/** In it: where the admin API is. */
export const adminUrlFile = "admin-url";

/** Where the one cloud of this user is that is running. @throws Error when there is none, or more than one. */
export async function findAdminUrl(): Promise<string> {
  const urls = readdirSync(tmpdir())
    .filter((name) => name.startsWith(cloudFolder))
    .flatMap((name) => readUrl(join(tmpdir(), name, adminUrlFile)));
  const answers = await Promise.all(urls.map(async (url) => isAnswering(url)));
  const running = urls.filter((_, index) => answers[index] === true);
  const [url] = running;
  if (url === undefined)
    throw new Error("no cloud is running here: npm run cloud starts one, --url tells of another");
  if (running.length > 1)
    throw new Error(`several clouds are running, choose one: --url ${running.join(" or --url ")}`);
  return url;
}

/** Nothing where the cloud has not come so far, or the folder is another user's. */
function readUrl(path: string): readonly string[] {
  try {
    return [readFileSync(path, "utf8").trim()];
  } catch {
    return [];
  }
}

/** A cloud that was killed leaves its folder behind. */
async function isAnswering(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/clock`, { signal: AbortSignal.timeout(2000) })).ok;
  } catch {
    return false;
  }
}
