import { deviceAccess } from "../../platform/device-access.ts";
import { AgentError } from "../../platform/failure.ts";

/**
 * Whether somebody stands before the TPM who gives each client its own sessions and objects. Without one, what a tool loads stays
 * until it is flushed. Of the kernel's two devices only /dev/tpmrm0 has one; a simulator has none.
 */
export function hasResourceManager(tcti: string): boolean {
  return tcti.startsWith("tabrmd:") || /^device:.*\/tpmrm\d+$/.test(tcti);
}

/** Says why no TPM answers at this place. Called when that is known: the place alone tells little. */
export function unreachable(tcti: string, lastStderrLine: string): AgentError {
  if (tcti.startsWith("device:")) {
    const failure = deviceFailure(tcti.slice("device:".length));
    if (failure !== undefined) return failure;
  }
  if (tcti.startsWith("tabrmd:")) {
    return new AgentError(
      "identity/tpm-no-resource-manager",
      "operator",
      "the resource manager tabrmd does not answer. Run: apt-get install tpm2-abrmd libtss2-tcti-tabrmd0; " +
        'systemctl enable --now tpm2-abrmd. Or let the kernel do it: tcti = "/dev/tpmrm0"',
    );
  }
  return new AgentError(
    "identity/tpm-unreachable",
    "retry",
    `no TPM answers at ${tcti}${lastStderrLine === "" ? "" : `: ${lastStderrLine}`}. Check [tpm] tcti, and that no other program holds it`,
  );
}

function deviceFailure(path: string): AgentError | undefined {
  switch (deviceAccess(path)) {
    case "granted":
      return undefined;
    case "denied":
      return new AgentError(
        "identity/tpm-no-permission",
        "operator",
        `this user may not use ${path}, which belongs to the group tss. Run: usermod -aG tss latebind; systemctl restart latebind. ` +
          "A service with DynamicUser needs SupplementaryGroups=tss",
      );
    case "missing":
      return missing(path);
  }
}

function missing(path: string): AgentError {
  const bare = path.replace(/tpmrm(\d+)$/, "tpm$1");
  if (bare !== path && deviceAccess(bare) !== "missing") {
    return new AgentError(
      "identity/tpm-no-resource-manager",
      "operator",
      `${bare} is there but ${path} is not: this kernel has no resource manager (it came with Linux 4.12). ` +
        'Run: apt-get install tpm2-abrmd libtss2-tcti-tabrmd0, and set [tpm] tcti = "tabrmd:"',
    );
  }
  return new AgentError(
    "identity/tpm-device-missing",
    "operator",
    `there is no ${path}. Switch the TPM on in the firmware's setup, load its driver (modprobe tpm_tis, tpm_crb), ` +
      "or give it to the container (--device); a machine without a TPM 2.0 needs another key",
  );
}
