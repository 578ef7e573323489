import * as v from "valibot";
import { documented } from "./key-doc.ts";
import { explainKeyUri, parseKeyUri, type KeyUri } from "./key-uri.ts";
import { isPersistentHandle } from "./tpm2-uri.ts";
import { isCleanAbsolutePath } from "./value-schemas.ts";

type FileUri = Extract<KeyUri, { scheme: "file" }>;

const handleDoc = {
  expected: "a persistent handle of the owner's, from 0x81000000 to 0x817fffff",
};
const authDoc = {
  expected: "file:NAME or file:/PATH",
  fix: 'write the name of a file with mode 0600 that holds the value, such as "file:tpm-owner"',
  explain: explainKeyUri,
};

/** `[tpm]`: how to reach the TPM of this machine. Its defaults fit a Linux with a TPM and need no line. */
export const tpmTable = documented(
  v.exactOptional(
    v.object({
      tcti: documented(
        v.exactOptional(
          v.pipe(
            v.string(),
            v.transform(parseTcti),
            v.custom<string>((tcti) => tcti !== undefined),
          ),
          "/dev/tpmrm0",
        ),
        {
          help: "Where the TPM is: a device (the kernel's own resource manager is /dev/tpmrm0), tabrmd: for the resource manager of that name, or swtpm:path=/PATH for a simulator.",
          expected: "the path of a device, tabrmd: or swtpm:path=/PATH",
        },
      ),
      ek_template: documented(v.exactOptional(v.picklist(["tcg", "azure-sdk"]), "tcg"), {
        help: "How to make the endorsement key where none is at its handle. The two make different keys of the same TPM, so different registration IDs: tcg is the one that the maker's certificate speaks of and that tpm2_createek makes; azure-sdk is what Azure's C and Node SDKs make, for devices that were enrolled with those.",
        expected: "tcg or azure-sdk",
      }),
      ek_handle: documented(v.exactOptional(handle(), "0x81010001"), {
        ...handleDoc,
        help: "Where the endorsement key is, or is put. A key that is there already is used as it is.",
      }),
      srk_handle: documented(v.exactOptional(handle(), "0x81000001"), {
        ...handleDoc,
        help: "Where the storage root key is, or is put. Where another program keeps a key that is not RSA at the default, name a free handle, such as 0x81000002.",
      }),
      owner_auth: documented(v.exactOptional(fileUri()), {
        ...authDoc,
        help: "The authorization value of the owner hierarchy, if one is set; found like a key file. It is needed to put the two keys at their handles.",
        example: '"file:tpm-owner"',
      }),
      endorsement_auth: documented(v.exactOptional(fileUri()), {
        ...authDoc,
        help: "The authorization value of the endorsement hierarchy, if one is set; found like a key file. It is needed for each registration.",
        example: '"file:tpm-endorsement"',
      }),
    }),
    {},
  ),
  { help: 'The TPM 2.0 of this machine, for key = "tpm2:". Needs the Debian package tpm2-tools.' },
);

/** A path is a device; everything else is spelled as tpm2-tools do, and holds nothing that they would take apart. */
function parseTcti(text: string): string | undefined {
  if (text === "tabrmd:") return text;
  const path = /^(?:swtpm:path=|device:)?(\/[\w./-]+)$/.exec(text)?.[1];
  if (path === undefined || !isCleanAbsolutePath(path)) return undefined;
  return text.startsWith("swtpm:") ? text : `device:${path}`;
}

function handle() {
  return v.pipe(
    v.string(),
    v.check(isPersistentHandle),
    v.transform((text) => text.toLowerCase()),
  );
}

function fileUri() {
  return v.pipe(
    v.string(),
    v.transform(parseKeyUri),
    v.custom<FileUri>((uri) => isFileUri(uri)),
  );
}

function isFileUri(uri: unknown): uri is FileUri {
  return typeof uri === "object" && uri !== null && "scheme" in uri && uri.scheme === "file";
}
