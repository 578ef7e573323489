import { existsSync, readdirSync, realpathSync } from "node:fs";
import { join } from "node:path";

const libraryFolders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];
/** Where p11-kit and SoftHSM put modules, below a library folder or one of its folders for an architecture. */
const moduleFolders = ["pkcs11", "softhsm"];

/** The PKCS#11 modules that packages have put in the usual places, without the spy of OpenSC; each only once. */
export function installedPkcs11Modules(): readonly string[] {
  const folders = libraryFolders.concat(
    libraryFolders.flatMap((folder) =>
      namesIn(folder)
        .filter((name) => name.includes("-linux-"))
        .map((name) => join(folder, name)),
    ),
  );
  const files = folders.flatMap((folder) =>
    moduleFolders.flatMap((name) => namesIn(join(folder, name)).map((file) => join(folder, name, file))),
  );
  const modules = files.filter(
    (file) => file.endsWith(".so") && !file.endsWith("-spy.so") && existsSync(file),
  );
  return [...new Map(modules.map((file) => [realpathSync(file), file])).values()];
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    // Most of the places do not exist.
    return [];
  }
}
