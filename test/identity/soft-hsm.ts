import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const softHsmModule = "/usr/lib/softhsm/libsofthsm2.so";
const soPin = "security officer";

interface Names {
  readonly label: string;
  /** Hex. */
  readonly id: string;
}

/**
 * A drawer with SoftHSM tokens of its own: parallel logins damage a shared one. SoftHSM reads where its tokens are from the
 * environment when a module is initialised, so only one drawer is in use in a process at a time.
 */
export class SoftHsm implements Disposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "latebind-hsm-"));
  readonly pinFile: string = join(this.folder, "pin");
  readonly #environment: NodeJS.ProcessEnv;

  constructor(label = "gateway", pin = "1234") {
    const configFile = join(this.folder, "softhsm2.conf");
    writeFileSync(
      configFile,
      `directories.tokendir = ${this.#tokens}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = true\n`,
    );
    process.env["SOFTHSM2_CONF"] = configFile;
    this.#environment = { ...process.env, LC_ALL: "C" };
    mkdirSync(this.#tokens);
    this.addToken(label, pin);
    this.writePin(pin);
  }

  addToken(label: string, pin: string): void {
    this.#util("--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", soPin);
  }

  /** Wipes the token and gives it another PIN, as a person with the security officer's PIN would. */
  makeAnew(label = "gateway", pin = "1234"): void {
    this.#util("--delete-token", "--token", label);
    this.addToken(label, pin);
  }

  writePin(pin: string, mode = 0o600): void {
    rmSync(this.pinFile, { force: true });
    writeFileSync(this.pinFile, `${pin}\n`, { mode });
  }

  changePin(from: string, to: string, label = "gateway"): void {
    this.#tool(label, "--login", "--pin", from, "--change-pin", "--new-pin", to);
  }

  /** `open`: anybody with the PIN can read it. */
  addSecret(key: Buffer, { label, id }: Names, custody: "open" | "closed" = "closed"): void {
    const file = join(this.folder, "secret");
    writeFileSync(file, key, { mode: 0o600 });
    const kind = ["--type", "secrkey", "--label", label, "--id", id, "--usage-sign", "--private"];
    this.#login("--write-object", file, ...kind, custody === "open" ? "--extractable" : "--sensitive");
    rmSync(file);
  }

  /** Private and public half of a key in PKCS#8 PEM. */
  addKeyPair(pem: string, { label, id }: Names): void {
    const file = join(this.folder, "key.pem");
    writeFileSync(file, pem, { mode: 0o600 });
    this.#util("--import", file, "--token", "gateway", "--label", label, "--id", id, "--pin", "1234");
    rmSync(file);
  }

  /** The private half alone. */
  addPrivateKey(der: Buffer, { label, id }: Names, ...more: readonly string[]): void {
    const file = join(this.folder, "key.der");
    writeFileSync(file, der, { mode: 0o600 });
    this.#login(
      "--write-object",
      file,
      "--type",
      "privkey",
      "--label",
      label,
      "--id",
      id,
      "--usage-sign",
      ...more,
    );
    rmSync(file);
  }

  addCertificate(der: Buffer, { label, id }: Names): void {
    const file = join(this.folder, "certificate.der");
    writeFileSync(file, der);
    this.#login("--write-object", file, "--type", "cert", "--label", label, "--id", id);
  }

  deleteObject(type: "privkey" | "secrkey" | "cert" | "pubkey", { id }: Pick<Names, "id">): void {
    this.#login("--delete-object", "--type", type, "--id", id);
  }

  /** Pulls all tokens out of their slots, sessions or not. */
  unplug(): void {
    renameSync(this.#tokens, join(this.folder, "unplugged"));
    mkdirSync(this.#tokens);
  }

  plugIn(): void {
    rmSync(this.#tokens, { recursive: true });
    renameSync(join(this.folder, "unplugged"), this.#tokens);
  }

  /** `object` as in RFC 7512: `object=device` or `id=%01`. */
  uri(object: string, modulePath: string = softHsmModule): string {
    return `pkcs11:token=gateway;${object}?module-path=${modulePath}&pin-source=${this.pinFile}`;
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #tokens(): string {
    return join(this.folder, "tokens");
  }

  #util(...args: readonly string[]): void {
    execFileSync("/usr/bin/softhsm2-util", args, { env: this.#environment, stdio: "pipe" });
  }

  #login(...args: readonly string[]): void {
    this.#tool("gateway", "--login", "--pin", "1234", ...args);
  }

  #tool(label: string, ...args: readonly string[]): void {
    const common = ["--module", softHsmModule, "--token-label", label];
    execFileSync("/usr/bin/pkcs11-tool", [...common, ...args], { env: this.#environment, stdio: "pipe" });
  }
}
