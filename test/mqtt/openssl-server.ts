import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { TemporaryFolder } from "../platform/temporary-folder.ts";
import type { ServerCredentials } from "../cloud/certificates.ts";

/** OpenSSL's own server: it sends the alerts that Node's server leaves out. It accepts every MQTT CONNECT. */
export class OpensslServer implements AsyncDisposable {
  readonly host = "127.0.0.1";
  readonly port: number;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #folder: TemporaryFolder;

  private constructor(child: ChildProcessWithoutNullStreams, folder: TemporaryFolder, port: number) {
    this.#child = child;
    this.#folder = folder;
    this.port = port;
  }

  /**
   * @param clientCa PEM; where given, every client must show a certificate under it.
   * @param options more of openssl-s_server(1).
   */
  static async listen(
    { certPem, keyPem }: ServerCredentials,
    options: readonly string[],
    clientCa?: string,
  ): Promise<OpensslServer> {
    const folder = new TemporaryFolder();
    writeFileSync(folder.join("cert.pem"), certPem);
    writeFileSync(folder.join("key.pem"), keyPem);
    if (clientCa !== undefined) writeFileSync(folder.join("ca.pem"), clientCa);
    const verify = ["-Verify", "2", "-verify_return_error", "-CAfile", folder.join("ca.pem")];
    const own = ["s_server", "-accept", "127.0.0.1:0"];
    const credentials = ["-cert", folder.join("cert.pem"), "-key", folder.join("key.pem")];
    const known = clientCa === undefined ? [] : verify;
    const child = spawn("openssl", [...own, ...credentials, ...known, ...options]);
    const port = await announced(child);
    const server = new OpensslServer(child, folder, port);
    // What comes after the greeting of the session is MQTT; any of it is answered with CONNACK 0.
    child.stdout.on("data", (chunk: Buffer) => {
      if (chunk.includes("MQTT")) child.stdin.write(Buffer.from([0x20, 2, 0, 0]));
    });
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
    this.#folder[Symbol.dispose]();
  }
}

/** `ACCEPT 127.0.0.1:44231` */
async function announced(child: ChildProcessWithoutNullStreams): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let said = "";
  const listen = (chunk: Buffer) => {
    said += chunk.toString("latin1");
    const port = /^ACCEPT \S+:(\d+)/m.exec(said)?.[1];
    if (port !== undefined) resolve(Number(port));
  };
  child.stdout.on("data", listen);
  child.stderr.on("data", listen);
  child.once("exit", () => reject(new Error(`openssl s_server ended: ${said}`)));
  return promise;
}
